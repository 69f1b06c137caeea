//! The ordering core and the lanes of one operator as one machine: what each tells the other.
//!
//! ```text
//!             Commit, NeedData, EpochEnd, leaders
//!  consensus ───────────────────────────────────▶ lanes
//!            ◀───────────────────────────────────
//!             TipsChanged, DataArrived              BlockReady ─▶ Host::order
//! ```
//!
//! What one core says to the other waits in a queue until the step in progress is over, first in first
//! out. So a [`Host`] never sees steps inside each other, and commits reach the lanes in height order
//! whatever a step sets off. All steps that one event causes happen at one moment.

use crate::{Core, Input, Output};
use squad_mempool::{LaneInput, LaneOutput, Lanes};
use squad_primitives::{CommittedBlock, Committee, Height, Now, OperatorId, Tip};
use std::collections::{BTreeMap, VecDeque};

/// Carries out what the cores ask for.
pub trait Host {
    /// The outputs of one step follow.
    fn begin_step(&mut self);

    /// An output of consensus, apart from those that are for the lanes or have a method here.
    fn consensus(&mut self, output: Output);

    /// An output of the lanes, apart from those that are for consensus or have a method here.
    fn lanes(&mut self, output: LaneOutput);

    /// All outputs of the step were given. What was asked to be durable together can be written now.
    fn end_step(&mut self);

    /// A block is final; its batches may not be here yet. Given between the outputs of the step.
    fn committed(&mut self, block: &CommittedBlock);

    /// All batches of a final block are durable here: order it. Heights ascend by one.
    fn order(&mut self, block: CommittedBlock, batches: Vec<Tip>);

    /// The next epoch has started with this committee.
    fn epoch(&mut self, committee: &Committee);

    /// The lanes made a step: the own lane may have moved.
    fn lanes_moved(&mut self, lanes: &Lanes);
}

#[derive(Debug)]
enum Work {
    Consensus(Input),
    Lanes(LaneInput),
}

/// Consensus and lanes of one operator.
#[derive(Debug)]
pub struct Replica {
    consensus: Core,
    lanes: Lanes,
    committee: Committee,
    /// Final blocks whose batches are not all here.
    waiting: BTreeMap<Height, CommittedBlock>,
    /// Leaders that the lanes were last told of.
    leaders: Option<[OperatorId; 2]>,
    work: VecDeque<Work>,
    consensus_out: Vec<Output>,
    lanes_out: Vec<LaneOutput>,
}

impl Replica {
    /// Joins the cores. `committee` is that of the recovered epoch.
    #[must_use]
    pub const fn new(consensus: Core, lanes: Lanes, committee: Committee) -> Self {
        Self {
            consensus,
            lanes,
            committee,
            waiting: BTreeMap::new(),
            leaders: None,
            work: VecDeque::new(),
            consensus_out: Vec::new(),
            lanes_out: Vec::new(),
        }
    }

    /// The ordering core.
    #[must_use]
    pub const fn consensus(&self) -> &Core {
        &self.consensus
    }

    /// The lanes.
    #[must_use]
    pub const fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    /// When to call [`Replica::tick`] if nothing else happens first.
    #[must_use]
    pub fn next_deadline(&self) -> Option<squad_primitives::Time> {
        let deadlines = [self.consensus.next_deadline(), self.lanes.next_deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// Gives an event to consensus, with all that follows from it.
    pub fn step_consensus(&mut self, now: Now, input: Input, host: &mut impl Host) {
        self.work.push_back(Work::Consensus(input));
        self.run(now, host);
    }

    /// Gives an event to the lanes, with all that follows from it.
    pub fn step_lanes(&mut self, now: Now, input: LaneInput, host: &mut impl Host) {
        self.work.push_back(Work::Lanes(input));
        self.run(now, host);
    }

    /// Steps the cores whose deadlines have passed.
    pub fn tick(&mut self, now: Now, host: &mut impl Host) {
        let due =
            |deadline: Option<squad_primitives::Time>| deadline.is_some_and(|at| at <= now.time);
        if due(self.lanes.next_deadline()) {
            self.step_lanes(now, LaneInput::Tick, host);
        }
        if due(self.consensus.next_deadline()) {
            self.step_consensus(now, Input::Tick, host);
        }
    }

    fn run(&mut self, now: Now, host: &mut impl Host) {
        while let Some(work) = self.work.pop_front() {
            match work {
                Work::Consensus(input) => self.run_consensus(now, input, host),
                Work::Lanes(input) => self.run_lanes(now, input, host),
            }
        }
    }

    fn run_consensus(&mut self, now: Now, input: Input, host: &mut impl Host) {
        let mut out = std::mem::take(&mut self.consensus_out);
        self.consensus.step(now, input, &mut self.lanes, &mut out);
        host.begin_step();
        let mut next_epoch = None;
        for output in out.drain(..) {
            match output {
                Output::Commit(block) => {
                    let (height, cut) = (block.block.height, block.block.cut.clone());
                    host.committed(&block);
                    self.waiting.insert(height, block);
                    self.work
                        .push_back(Work::Lanes(LaneInput::Committed { height, cut }));
                }
                Output::NeedData {
                    leader: proposer,
                    missing: tips,
                    ..
                } => self
                    .work
                    .push_back(Work::Lanes(LaneInput::Missing { tips, proposer })),
                Output::EpochEnd { epoch, .. } => next_epoch = Some(epoch.next()),
                // The lanes broadcast held proofs themselves while nothing commits.
                Output::ShareTips { .. } => {}
                other => host.consensus(other),
            }
        }
        host.end_step();
        self.consensus_out = out;
        if let Some(epoch) = next_epoch {
            // Stake comes from genesis, so the next committee has the same members.
            self.committee = self.committee.in_epoch(epoch);
            host.epoch(&self.committee);
            self.work
                .push_back(Work::Lanes(LaneInput::EpochReady(self.committee.clone())));
            self.work
                .push_back(Work::Consensus(Input::EpochReady(self.committee.clone())));
        }
        let leaders = self.consensus.leaders();
        if self.leaders != Some(leaders) {
            self.leaders = Some(leaders);
            self.work
                .push_back(Work::Lanes(LaneInput::LeadersChanged(leaders)));
        }
    }

    fn run_lanes(&mut self, now: Now, input: LaneInput, host: &mut impl Host) {
        let mut out = std::mem::take(&mut self.lanes_out);
        self.lanes.step(now, input, &mut out);
        host.begin_step();
        let (mut tips_changed, mut data_arrived) = (false, false);
        for output in out.drain(..) {
            match output {
                LaneOutput::TipsChanged => tips_changed = true,
                LaneOutput::DataArrived => data_arrived = true,
                LaneOutput::BlockReady { height, batches } => {
                    if let Some(block) = self.waiting.remove(&height) {
                        host.order(block, batches);
                    }
                }
                other => host.lanes(other),
            }
        }
        host.end_step();
        host.lanes_moved(&self.lanes);
        self.lanes_out = out;
        if tips_changed {
            self.work.push_back(Work::Consensus(Input::TipsChanged));
        }
        if data_arrived {
            self.work.push_back(Work::Consensus(Input::DataArrived));
        }
    }
}
