//! The mempool of Squad: from a submitted transaction to a certified batch, and from a committed cut
//! to the order inside a block.
//!
//! ```text
//!  submit ─▶ admission ─▶ pool (queues + pending) ─▶ batcher ─▶ lanes ⇄ other operators
//!            no lock       one short lock             timing      headers, acks, proofs
//!                                                                   │ cut
//!  ordered ◀─ order ◀──────────── bodies ◀──────────────────── consensus
//! ```
//!
//! - [`admission`] judges one transaction against an immutable view: many threads at once, no lock.
//! - [`pool`] holds accepted transactions in fair queues and knows where each one is.
//! - [`batcher`] decides when the next batch is cut.
//! - [`lanes`] is the state of all lanes: headers, acknowledgements, proofs, what to fetch, what to
//!   propose. It never holds a body.
//! - [`order`] turns the batches of a committed block into one list per rollup.
//!
//! The crate is pure: time, keys and peers are arguments, effects are data. Everything a peer or a
//! client can make it hold is bounded by a setting or a named constant.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::cast_possible_truncation
    )
)]

pub mod admission;
pub mod batcher;
pub mod lanes;
pub mod order;
pub mod pool;

mod hash;

pub use admission::{Admission, AdmissionView, Admitted, Refusal};
pub use batcher::{Batcher, BatcherConfig};
pub use hash::IdHashKey;
pub use lanes::{LaneInput, LaneOutput, LaneRecord, Lanes, LanesConfig, PersistId, Recovered};
pub use order::{Dedup, OrderRules, Ordered, order_block};
pub use pool::{Pool, PoolConfig};
