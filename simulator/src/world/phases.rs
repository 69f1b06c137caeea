//! A run: faults for a drawn number of views, in which nothing may be wrong and no progress is asked; then
//! calm, in which the network must commit, agree and drain within a stated bound.

use super::World;
use crate::fault::Coverage;
use crate::invariants::Violation;
use crate::plan::{Options, Plan};
use squad_primitives::Height;

/// Time between two looks at how far the network is.
const LOOK_US: u64 = 200_000;
/// View timer of all worlds while nothing goes wrong, in microseconds.
const BASE_TIMEOUT_US: u64 = 500_000;
/// Within twenty base timeouts after the faults stop, and as many more as the turns of Byzantine leaders
/// take of all turns: each may cost its timeout ...
const PROGRESS_US: u64 = 20 * BASE_TIMEOUT_US;
/// ... every honest node has so many new blocks.
const PROGRESS_BLOCKS: u64 = 20;
/// Then clients stop, and within sixty base timeouts all honest nodes are at one height and everything
/// that was accepted is ordered or has expired. The backlog may fill a hundred blocks.
const DRAIN_US: u64 = 60 * BASE_TIMEOUT_US;

/// A rule was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The rule.
    pub violation: Violation,
    /// True time of it, in microseconds.
    pub at_us: u64,
}

/// What a run was.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Hash over everything that was seen.
    pub hash: u64,
    /// Events handled.
    pub events: u64,
    /// Virtual time, in microseconds.
    pub virtual_us: u64,
    /// Highest view count of an honest node, over all epochs.
    pub views: u64,
    /// Blocks committed.
    pub blocks: u64,
    /// Packets sent.
    pub sent: u64,
    /// Transactions submitted for the first time.
    pub submitted: u64,
    /// How often each thing happened.
    pub coverage: Coverage,
    /// The rule that was broken, if one was.
    pub failure: Option<Failure>,
    /// Lines of the trace, if asked for.
    pub trace: Vec<String>,
}

/// Runs a seed.
#[must_use]
pub fn run(seed: u64, options: &Options, trace: bool) -> Outcome {
    let mut world = World::new(Plan::draw(seed, options), trace);
    world.storm();
    if world.violation.is_none() && world.plan.excess_twins.is_empty() {
        world.settle();
    }
    world.outcome()
}

/// Runs a seed; a panic of a core is a broken rule like any other.
#[must_use]
pub fn run_guarded(seed: u64, options: &Options, trace: bool) -> Outcome {
    std::panic::catch_unwind(|| run(seed, options, trace)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let literal = || panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let violation = Violation {
            invariant: "panic",
            what: text.or_else(literal).unwrap_or_default(),
        };
        Outcome {
            failure: Some(Failure {
                seed,
                violation,
                at_us: 0,
            }),
            ..Outcome::default()
        }
    })
}

impl World {
    fn storm(&mut self) {
        let mut views = 0;
        let mut last = 0;
        while self.violation.is_none()
            && self.now < self.plan.safety_us_max
            && views < self.plan.views
        {
            self.run_to(self.now + LOOK_US);
            // Views restart with each epoch, so what counts is how far they moved.
            let at = self.highest_view();
            views += if at < last { at } else { at - last };
            last = at;
        }
        self.views += views;
    }

    fn highest_view(&self) -> u64 {
        let nodes = self
            .slots
            .iter()
            .filter(|slot| slot.honest)
            .filter_map(|slot| slot.node.as_ref());
        let at = nodes
            .map(|node| node.replica().consensus().status().at)
            .max();
        at.map_or(0, |at| at.view.0)
    }

    fn settle(&mut self) {
        self.calm();
        let wanted = Height(self.head().0 + PROGRESS_BLOCKS);
        self.plan.load.interval_us = self.plan.load.interval_us.clamp(15_000, 60_000);
        self.plan.load.burst = 0;
        let honest = self.slots.iter().filter(|slot| slot.honest).count() as u64;
        let limit = PROGRESS_US * self.slots.len() as u64 / honest.max(1);
        self.run_until(limit, "progress", |world| world.is_at(wanted));
        self.loaded = false;
        self.run_until(DRAIN_US, "drained", Self::is_drained);
        if self.violation.is_none()
            && let Err(violation) = self.invariants.settled(&self.slots, self.now)
        {
            self.fail(violation);
        }
    }

    /// Runs until something holds; it is a broken rule if it doesn't in time.
    fn run_until(
        &mut self,
        limit_us: u64,
        invariant: &'static str,
        holds: impl Fn(&Self) -> Result<(), String>,
    ) {
        let end = self.now + limit_us;
        while self.violation.is_none() {
            self.run_to(self.now + LOOK_US);
            match holds(self) {
                Ok(()) => return,
                Err(what) if self.now >= end => {
                    let what = format!(
                        "{what}, {} base timeouts after\n{}",
                        limit_us / BASE_TIMEOUT_US,
                        self.describe()
                    );
                    self.fail(Violation { invariant, what });
                }
                Err(_) => {}
            }
        }
    }

    fn honest_heights(&self) -> Vec<(squad_primitives::OperatorId, Height)> {
        let honest = self.slots.iter().filter(|slot| slot.honest);
        honest
            .map(|slot| {
                let written = slot.node.as_ref().map(|node| node.shell().written());
                (slot.operator, written.unwrap_or_default())
            })
            .collect()
    }

    fn is_at(&self, wanted: Height) -> Result<(), String> {
        let late = self
            .honest_heights()
            .into_iter()
            .find(|(_, height)| *height < wanted);
        match late {
            None => Ok(()),
            Some((operator, height)) => Err(format!("{operator} is at {height}, not at {wanted}")),
        }
    }

    fn is_drained(&self) -> Result<(), String> {
        let heights = self.honest_heights();
        let highest = heights
            .iter()
            .map(|(_, height)| *height)
            .max()
            .unwrap_or_default();
        if let Some((operator, height)) =
            heights.iter().find(|(_, height)| height.0 + 2 < highest.0)
        {
            return Err(format!("{operator} is at {height}, others at {highest}"));
        }
        for slot in self.slots.iter().filter(|slot| slot.honest) {
            let Some(node) = &slot.node else { continue };
            let committed = node.replica().consensus().status().committed;
            let written = node.shell().written();
            if written < committed {
                return Err(format!(
                    "{}: {written} is ordered, {committed} committed",
                    slot.operator
                ));
            }
            let queued = node.shell().pool_load().transactions;
            let open = node.replica().lanes().own_window().batches;
            if queued > 0 || open > 0 {
                return Err(format!(
                    "{}: {queued} transactions wait, {open} own batches are open",
                    slot.operator
                ));
            }
        }
        Ok(())
    }

    fn describe(&self) -> String {
        let lines = self.slots.iter().map(|slot| match &slot.node {
            None => format!("  {} is away", slot.operator),
            Some(node) => {
                let status = node.replica().consensus().status();
                let usage = node.replica().lanes().usage();
                format!(
                    "  {} honest {} {status:?} {usage:?}",
                    slot.operator, slot.honest
                )
            }
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    fn outcome(mut self) -> Outcome {
        let failure = self.violation.take().map(|violation| Failure {
            seed: self.plan.seed,
            violation,
            at_us: self.now,
        });
        Outcome {
            hash: self.observer.hash(),
            events: self.event_count,
            virtual_us: self.now,
            views: self.views,
            blocks: self.head().0,
            sent: self.sent,
            submitted: self.submitted,
            trace: std::mem::take(&mut self.observer.lines),
            coverage: self.coverage,
            failure,
        }
    }
}
