//! The `squad` command from outside: binary and files in, exit code and output out. One file per
//! property.

mod command;

mod config;
mod docs;
mod exit_codes;
mod genesis;
mod keys;
mod localnet;
mod single;
mod tls;
