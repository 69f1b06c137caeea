//! What the consensus yardstick and the micro-benchmarks share.
//!
//! Two ways to run replicas of `squad-consensus`, with real signatures, in-memory stores and lanes
//! that always have work:
//!
//! - [`threads`]: in real time, one thread per replica, over [`links::Links`]. The same links carry
//!   the other engine of the yardstick, as encoded bytes, so both pay for encoding and decoding and
//!   neither sees another delay than the other.
//! - [`virtual_time`]: in virtual time, in one thread, as many replicas as wanted. Deterministic
//!   unless the measured CPU time of each step is charged to the clock of its replica.
//!
//! Both fill [`record::Log`]s, from which [`record`] computes every figure.

pub mod committee;
pub mod cpu;
pub mod lanes;
pub mod links;
pub mod record;
pub mod replica;
pub mod threads;
pub mod virtual_time;
