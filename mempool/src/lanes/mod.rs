//! All lanes as one operator sees them: headers, acknowledgements, proofs, what to fetch, what to cut.
//!
//! Each operator owns one lane, a chain of batches. Lanes and cuts follow Autobahn (SOSP '24, §4);
//! dissemination apart from ordering follows Narwhal (EuroSys '22). [`Lanes`] holds headers and flags,
//! never a body, and is stepped by one owner.
//!
//! ```text
//!  owner                               receiver
//!  seal, write ─▶ OwnBatch ─▶ batch ─▶ Batch: verify owner's signature
//!                                        Store body + Persist record      (one group commit)
//!                              ack  ◀─ Persisted: sign, one per lane
//!  acks of > 1/3 of stake = PoA ─────▶ next two leaders at once, all others with the next batch
//!                                      leader: highest certified tip of each lane = cut
//! ```
//!
//! # Rules
//!
//! - **Kept** is a header whose owner signed it, at most twice the window above the committed tip. Two
//!   for one position are evidence, once per lane. The body of the first is stored; bodies of other
//!   branches only when consensus needs them.
//! - **Acknowledged** is what extends the acknowledged chain, or the committed tip, without a gap, when
//!   it is durable together with a record of it. A position at or below the record is never
//!   acknowledged on another branch, not even if that starves the lane: the lane then goes on when
//!   others have carried its committed tip past the record.
//! - **A proof** (PoA) is built by the owner, or by a receiver whose stake and the owner's are enough. It
//!   goes to the leaders of this view and the next at once, to all with the next batch or after 5 ms, and
//!   again every 100 ms while no block takes it in. Proofs from others are verified when something
//!   depends on them.
//! - **Coverage**: a proof held for half of `coverage_delay` without a cut is broadcast by its holder, at
//!   most one per lane and `coverage_delay`; `coverage_delay` later [`Lanes::uncovered`] names the lane.
//!   While nothing commits at all, one held proof is broadcast per `rebroadcast`, so that work known to
//!   one operator becomes known to all.
//! - **Lost** messages: on connecting, operators say how far they hold each lane; an owner repeats this
//!   to those who have not acknowledged for 100 ms. The answer is the acknowledgement, or the position
//!   from which to send again. Gaps are filled by asking for headers,
//!   then for bodies.
//! - **Asked for headers**, an operator looks through a limited number of them per peer and 100 ms, so
//!   that a peer which asks without end costs little.
//! - **Forks**: a cut descends from the parent's, header by header, so of two branches one is committed
//!   and the other void.
//!
//! # Invariants
//!
//! - No two acknowledgements of this operator contradict each other, across any crash.
//! - Nothing is signed before it is durable; see [`LaneOutput`].
//! - Memory per lane: headers in twice the window, four branches deep, above the committed tip and, while
//!   blocks wait to be processed, as many above what is; 64 proofs, one per operator
//!   without a header; 8 targets; 16 fetches. For the own lane besides: one time per batch of the window.

mod acks;
mod ask;
mod collect;
mod commit;
mod committees;
mod config;
mod coverage;
mod cut;
mod headers;
mod input;
mod lane;
mod output;
mod own;
mod pace;
mod proofs;
mod receive;
mod record;
mod recover;
mod status;
mod timers;
mod trunk;
mod usage;
mod view;

pub use config::LanesConfig;
pub use cut::{CutCheck, CutError};
pub use input::LaneInput;
pub use output::{LaneFault, LaneOutput};
pub use own::OwnWindow;
pub use record::{LaneRecord, PersistId};
pub use recover::Recovered;
pub use usage::LanesUsage;

use acks::Write;
use commit::Blocks;
use committees::Committees;
use lane::Lane;
use own::Own;
use squad_primitives::message::LaneMessage;
use squad_primitives::{Committee, Now, OperatorId, Signer, Time, Tip, Verifier};
use status::Peer;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// State of all lanes at one operator or observer.
#[derive(Debug)]
pub struct Lanes {
    config: LanesConfig,
    committees: Committees,
    /// Signs acknowledgements; `None` for an observer.
    key: Option<Arc<dyn Signer>>,
    verifier: Arc<dyn Verifier>,
    lanes: BTreeMap<OperatorId, Lane>,
    /// Writes that are not durable yet, in order. As many as the shell's writer queues.
    writes: VecDeque<(PersistId, Write)>,
    last_write: PersistId,
    peers: BTreeMap<OperatorId, Peer>,
    own: Own,
    leaders: [OperatorId; 2],
    blocks: Blocks,
    /// Tips that consensus waits for, of the latest proposal.
    awaited: BTreeMap<OperatorId, Tip>,
    last_commit: Time,
    /// Next broadcast of a held proof while nothing commits.
    stalled_at: Time,
    deadline: Option<Time>,
    /// Until the first step.
    recovering: bool,
}

impl Lanes {
    /// Handles one event. Effects are appended to `out`.
    pub fn step(&mut self, now: Now, input: LaneInput, out: &mut Vec<LaneOutput>) {
        let now = now.time;
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.tick(now, out);
        }
        match input {
            LaneInput::Tick => {}
            LaneInput::OwnBatch(signed) => self.on_own_batch(now, signed, out),
            LaneInput::Batch { from, signed, poas } => self.on_batch(now, from, signed, poas, out),
            LaneInput::Message { from, message } => self.on_message(now, from, message, out),
            LaneInput::Persisted(id) => self.on_persisted(now, id, out),
            LaneInput::FetchFailed { from, digest } => {
                self.on_fetch_failed(now, from, digest, out);
            }
            LaneInput::PeerConnected(peer) => self.on_connected(now, peer, out),
            LaneInput::PeerDisconnected(peer) => self.on_disconnected(peer),
            LaneInput::LeadersChanged(leaders) => self.leaders = leaders,
            LaneInput::Missing { tips, proposer } => self.on_missing(now, tips, proposer, out),
            LaneInput::Committed { height, cut } => self.on_committed(now, height, cut, out),
            LaneInput::Processed(height) => self.on_processed(now, height, out),
            LaneInput::EpochReady(committee) => self.on_epoch(now, committee),
        }
    }

    /// When [`LaneInput::Tick`] is due next, if nothing else happens.
    #[must_use]
    pub const fn next_deadline(&self) -> Option<Time> {
        self.deadline
    }

    fn on_message(
        &mut self,
        now: Time,
        from: OperatorId,
        message: LaneMessage,
        out: &mut Vec<LaneOutput>,
    ) {
        match message {
            LaneMessage::Ack(ack) => self.on_ack(now, from, ack, out),
            LaneMessage::Poa(poa) => self.on_poa(now, from, *poa, out),
            LaneMessage::Status(tips) => self.on_status(now, from, &tips, out),
            LaneMessage::HeadersRequest { after, tip } => {
                self.on_headers_request(now, from, after, tip, out);
            }
            LaneMessage::Headers { lane, headers, poa } => {
                self.on_headers(now, from, lane, headers, poa.map(|poa| *poa), out);
            }
            LaneMessage::Batch { .. } | LaneMessage::BatchRequest(_) => {}
        }
    }

    /// An epoch starts. Proofs of the epoch before the last are void from now on; own batches that had
    /// only such a proof are certified again, by acknowledgements of the new epoch.
    fn on_epoch(&mut self, now: Time, committee: Committee) {
        for member in committee.members() {
            self.lanes
                .entry(member.operator)
                .or_insert_with(|| Lane::new(member.operator, None));
        }
        if !self.committees.advance(committee) {
            return;
        }
        let epoch = self.committees.epoch();
        for lane in self.lanes.values_mut() {
            lane.proofs
                .retain(|_, proof| proof.poa.epoch.next() >= epoch);
        }
        if let Some(lane) = self.config.me.and_then(|me| self.lanes.get(&me)) {
            let proven = lane.proofs.keys().next_back().map(|key| key.0);
            self.own.certified = proven.unwrap_or(lane.committed.seq);
            self.wake(now.after(self.config.rebroadcast));
        }
    }

    /// Asks for a tick at `at` or earlier.
    fn wake(&mut self, at: Time) {
        self.deadline = Some(self.deadline.map_or(at, |deadline| deadline.min(at)));
    }
}
