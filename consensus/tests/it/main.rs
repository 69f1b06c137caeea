//! One file per property of the ordering core, over a deterministic network in virtual time.
//!
//! Run one test alone with `cargo test --release -p squad-consensus --test it -- <name>`; a failure
//! prints the seed of its world.

mod net;

mod agreement;
mod chaos;
mod cost;
mod crash;
mod epochs;
mod equivocation;
mod fuzz;
mod hostile;
mod idle;
mod late;
mod limits;
mod partition;
mod restart;
mod skipped;
mod stake;
