//! Real sockets on loopback, ports chosen by the system.

mod data_exchange;
mod data_fetch;
mod data_flow;
mod data_membership;
mod data_restart;
mod harness;
