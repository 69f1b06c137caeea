//! `squad-loadtest`: an open-loop load generator that measures what a rollup would feel.
//!
//! It knows the network only through `squad-client`: whatever it can do, a rollup can do.
//!
//! - **Open loop.** The [`schedule`] is fixed before the start. Every transaction has an intended time,
//!   and latency counts from it, so neither the generator nor the network can hide a stall by sending
//!   later. What no connection has room for is `dropped` and counted, never skipped quietly.
//! - **Ordered** is when the ids of a block reach the generator from the operator that it follows, on
//!   the same stream that any rollup reads.
//! - **Cheap.** One pacing thread makes and groups transactions about once per millisecond, one thread
//!   carries all sockets ([`run`]). The generator's own processor time is part of every report.
//! - **Audited.** After a run each operator's whole chain of the run is read and compared
//!   ([`audit`]): every acknowledged transaction exactly once, nothing else, the same everywhere. A run
//!   without a clean audit, or that sent less than 99 % of its schedule, or whose generator was late
//!   itself, is marked invalid ([`report`]) and is not accepted by [`compare`].
//! - **Payloads** ([`workload`]) are incompressible bytes, transfers signed before the run, or raw
//!   transactions from a file, such as `data/mainnet.bin`.
#![forbid(unsafe_code)]

pub mod args;
pub mod audit;
pub mod compare;
pub mod eth;
pub mod measure;
pub mod mix;
pub mod plot;
pub mod prepare;
pub mod process;
pub mod report;
pub mod rng;
pub mod run;
pub mod schedule;
pub mod sweep;
pub mod txfile;
pub mod workload;
