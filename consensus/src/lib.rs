//! The ordering core of Squad: a two-phase HotStuff with all-to-all votes, weighted by stake, as a pure
//! state machine.
//!
//! Sources: HotStuff (Yin et al., PODC '19) and HotStuff-2 (Malkhi, Nayak, 2023) for two phases over
//! certified chains; Simplex (Chan, Pass, TCC '23) for the view change: a view is left by a certificate
//! or by a timeout certificate, and a replica never helps both to commit a view and to skip it. There
//! are no locks, and timeouts carry no certificates.
//!
//! ```text
//!   leader of v        all to all          all to all
//!   Proposal(v) ─────▶ Vote(v, B) ───QC──▶ CommitVote(v, B) ───CC──▶ commit B and its ancestors
//!                          │                 └▶ view v+1: its leader proposes as soon as it has the QC
//!                          └ timer ▶ Timeout(v) ───TC──▶ view v+1
//! ```
//!
//! # Rules for view v, and where they are
//!
//! 1. Enter v on a QC, CC or TC for v-1 (`advance`), or at the start of an epoch (`epoch`).
//! 2. The leader proposes on the block of the highest certified view p such that all TCs in (p, v) are
//!    held, when there is work (`proposer`, `pacemaker`).
//! 3. Vote at most once, in v, not after `Timeout(v)`, for a valid proposal (`proposal`, `voter`).
//! 4. On QC(v), without `Timeout(v)`: `CommitVote(v)` and enter v+1, one durable record (`advance`).
//! 5. Timer expired, or timeouts from more than a third: `Timeout(v)`, unless `CommitVote(v)`
//!    (`pacemaker`).
//! 6. TC(v): enter v+1 (`advance`).
//! 7. CC: commit the block and its ancestors, in height order (`committer`).
//! 8. Repeat what may be lost (`rebroadcast`); fetch what is missing (`sync`, `certificate_sync`, `height_sync`).
//!
//! # Why no two replicas commit different blocks
//!
//! Votes of a view make at most one QC, since two quorums share an honest replica. If v commits, more
//! than two thirds sent `CommitVote(v)`, so never `Timeout(v)`, and TC(v) can't exist. A vote for a block
//! of a later view whose parent is older than v needs TC(v). So every later certified block descends from
//! that of v. None of this depends on when a view is entered; entering only drives progress.
//!
//! # Where this differs from the design page, and why that is safe
//!
//! - **A CC stands for a QC.** It can't exist without one, so it leads into the next view and justifies a
//!   child. A replica that synced a block can lead at once, without finding the block's QC.
//! - **A QC of a view not yet entered is commit-voted too.** The promise is about `Timeout(v)`, which a
//!   replica that never was in v hasn't sent and, being in v+1 then, never will.
//! - **Timeouts count unverified for rule 5.** Links are authenticated, and what an operator says about
//!   itself needs no signature; a TC is verified.
//! - **Certificates go to the next leader after a quarter of `rebroadcast`**, if it doesn't show by then
//!   that it has them. With all-to-all votes it nearly always has.
//! - **An uncommitted certified block is work only after `rebroadcast`**, and only if it orders
//!   something: the commit is normally one delay away, and an idle network would otherwise add a
//!   block for ever because of the one before.
//! - **Skipped leaders get ever fewer full timers** (`silence`).
//!
//! # The shell's part
//!
//! It owns one [`Core`], usually inside a [`Replica`] with the lanes, calls [`Core::step`] with every
//! [`Input`] and again at [`Core::next_deadline`], and carries out each [`Output`] in order. It authenticates links, makes
//! records durable in order ([`SafetyRecord`] says how), stores committed blocks, serves them, and fetches
//! bodies. It may drop, repeat or delay any message.
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

mod advance;
mod certificate_sync;
mod certificates;
mod committer;
mod config;
mod context;
mod core;
mod early;
mod epoch;
mod essence;
mod fetch;
mod height_sync;
mod input;
mod judge;
mod lane_view;
mod leader;
mod output;
mod own;
mod pacemaker;
mod peers;
mod proposal;
mod proposer;
mod rebroadcast;
mod record;
mod replica;
mod silence;
mod status;
mod sync;
mod tree;
mod usage;
mod voter;
mod votes;

pub use crate::core::Core;
pub use config::Config;
pub use essence::Essence;
pub use input::Input;
pub use lane_view::{CutCheck, CutError, LaneView};
pub use output::{KeyRange, Output, PeerFault, PersistId};
pub use record::{Cast, Recovered, SafetyRecord, SafetyState};
pub use replica::{Host, Replica};
pub use status::Status;
pub use usage::CoreUsage;
