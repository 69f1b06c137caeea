//! The contract inside an EVM.

mod artifact;
mod chain;
mod epochs;
mod gas;
mod network;
mod refusals;
