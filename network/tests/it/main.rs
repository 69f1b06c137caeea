//! Real sockets on loopback, ports chosen by the system.

mod control_blocks;
mod control_discovery;
mod control_harness;
mod control_sync;
mod data_exchange;
mod data_fetch;
mod data_flow;
mod data_membership;
mod data_restart;
mod harness;
