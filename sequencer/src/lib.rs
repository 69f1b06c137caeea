//! The operator node of Squad and the `squad` command.
//!
//! [`node`] runs the pipeline from submitted transactions to ordered, stored and served blocks;
//! everything else is the operator's surface: [`config`] and [`keys`] are what a node is started from,
//! [`cli`] is the command line, [`localnet`] runs a whole network on one machine.
#![forbid(unsafe_code)]

mod api;
pub mod cli;
pub mod config;
pub mod home;
pub mod keys;
pub mod localnet;
mod logging;
pub mod node;
mod version;
