//! The ordering core of Squad under a model checker.
//!
//! A simulator draws schedules; a model checker takes all of them, as far as they are short. The model is
//! made of the real [`squad_consensus::Core`]s: every transition is a step of one, and Stateright
//! (`stateright/stateright`) keeps the states apart and searches. It is a crate of its own, and not a part
//! of `simulator`, because Stateright brings threads, a clock and a small web server along, which the
//! simulator's pure library and whoever uses it should not pull in.
//!
//! ```text
//!  Scope ─▶ World (Stateright's Model) ── Action ──▶ Node: core + disk + shell ──▶ signed items, commits
//!             │                                         ▲ once per state and event      │
//!             │ State = honest nodes, network,          └── Table (numbers states) ◀────┘
//!             │         commits, crashes left
//!             └─▶ rules, in every state;  fair schedule, from a sample of them
//! ```
//!
//! # What can happen
//!
//! - **Network.** All that honest operators ever signed is a set; anything in it arrives anywhere, at any
//!   time, in any order, any number of times, or never (`net`). So loss, doubles, overtaking and cuts need no
//!   events.
//! - **Byzantine operators** have no state, because they may do anything at any time: their vote, timeout and
//!   commit vote count for every statement that an honest operator signed, contradictory or not. As
//!   leaders they propose, on every certified parent of an earlier view, two different blocks, to whom
//!   they like. Every certificate that can be had arrives anywhere, stale ones too.
//! - **Votes** arrive as all known votes for one statement, once these make a quorum. Fewer votes change
//!   nothing but what is counted, so any schedule has one like it where they come together. The same certificate
//!   also arrives ready-made.
//! - **Time.** `Pause` lets every timer of one operator run out. Otherwise no time passes. The core asks only
//!   whether an interval has passed, so an operator whose clock runs ahead of others is covered too.
//! - **Crash** at any point; the process starts again from what is durable. With [`Disk::Slow`], records and
//!   committed blocks become durable by events of their own, messages wait for their records, and a crash
//!   loses what waited. With [`Disk::Immediate`], a crash between record and send is one where the message
//!   never arrives.
//!
//! # What a state is
//!
//! Of each honest operator the [`squad_consensus::Essence`] of its core (its head says what is left out, and
//! why nothing depends on it), its disk and what waits for it; the set of signed items; the blocks committed
//! so far; the crashes left; what went wrong. Signers of certificates are left out: a certificate that is
//! delivered names operators who did sign in *this* state. That the essence suffices is not only argued:
//! where two different cores have one essence, the checker now and then gives the second all
//! events that the first has answered, and compares ([`Report::compared`]).
//!
//! Not modelled: batches that are missing (to the core like a late proposal), unequal stake, silence (it takes
//! eight views), height sync by pages, wrong signatures, ill-formed messages. Those are for the simulator and
//! the fuzz targets. There is no symmetry to use, because operators lead different views.
//!
//! The model is a test: a broken expectation inside it panics, and slots are indexed freely.
#![forbid(unsafe_code)]

mod act;
mod book;
mod describe;
mod drive;
pub mod explore;
mod fair;
mod lanes;
mod net;
mod node;
pub mod rules;
pub mod scope;
mod table;
pub mod world;

pub use explore::{Limits, Report, Search, explore};
pub use scope::{Disk, Scope, Shell};
pub use world::World;
