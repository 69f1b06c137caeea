//! The contract inside an EVM, and on a real node if there is one.

mod anvil;
mod artifact;
mod chain;
mod epochs;
mod evm;
mod gas;
mod network;
mod refusals;
