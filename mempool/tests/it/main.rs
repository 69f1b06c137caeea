//! Properties of the mempool, one file each.

mod behind;
mod convergence;
mod coverage;
mod cuts;
mod dedup;
mod fairness;
mod forks;
mod fuzz;
mod gaps;
mod garbage;
mod keys;
mod limits;
mod proofs;
mod restart;
mod unanswerable;
mod world;
