//! Whole networks of Squad under virtual time, from one seed.
//!
//! The cores are those of the node ([`squad_consensus`], [`squad_mempool`]), joined by the node's own
//! [`squad_consensus::Replica`] and recovered by its own code. Around them everything is simulated: time,
//! network, disks, processes that stop at any instant, clients, and operators that don't keep to the
//! protocol.
//!
//! ```text
//!  seed ─▶ plan ─▶ world ──▶ events in order of time ──▶ nodes (real cores) ──▶ packets, writes
//!         (swarm)    ▲                                            │
//!                    └── fate: crashes, cuts, jumps               └──▶ invariants, hash, trace
//! ```
//!
//! - **Two phases.** While faults strike nothing may be wrong; when they stop the network must commit,
//!   agree and drain within a bound ([`world`]).
//! - **Reproducible.** A seed gives the same run for ever on one commit: one hash over everything that
//!   was seen. A failure prints its seed.
//! - **Judged from outside.** The rules in [`invariants`] look at packets, commits and disks, not at the
//!   state of the cores, the bounds apart.
//!
//! Models: `tigerbeetle/tigerbeetle` (VOPR) for the two phases and swarm, `commonwarexyz/monorepo` for
//! adversaries and twins.
//!
//! The simulator is a test: a broken expectation inside it panics, and slots are indexed freely.
#![forbid(unsafe_code)]

pub mod adversary;
pub mod corpus;
pub mod disk;
pub mod fault;
pub mod invariants;
pub mod keys;
pub mod net;
pub mod node;
pub mod observe;
pub mod plan;
pub mod plot;
pub mod random;
pub mod report;
pub mod shrink;
pub mod world;
