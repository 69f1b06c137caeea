//! The `squad` command from outside: binary and files in, exit code and output out. One file per
//! property.

mod command;
mod load;
mod net;
mod watch;

mod bad_input;
mod config;
mod crash;
mod docs;
mod exit_codes;
mod finality;
mod fuzz;
mod genesis;
mod keys;
mod localnet;
mod observer;
mod single;
mod tls;
