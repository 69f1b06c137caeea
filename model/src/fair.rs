//! What happens from a state when the network is good again: does it commit?
//!
//! Stateright's `eventually` only looks at paths that end, and takes no account of fairness; a path
//! on which nobody ever delivers anything would refute it. So progress is asked of a schedule instead,
//! from a sample of the reachable states: all that was on its way is lost, Byzantine operators are
//! silent, processes and disks run, messages take ten milliseconds, and timers run out when the core says
//! so. What was lost must come again by the core's own repetition, requests and answers. Within 20 base view
//! timeouts every honest member of the latest committee must have two blocks more than anybody had.

use crate::node::{Effects, Event, Node};
use crate::scope::Setup;
use crate::world::{State, World};
use squad_consensus::Input;
use squad_primitives::message::ConsensusMessage;
use squad_primitives::{Duration, OperatorId, Time};
use std::sync::atomic::Ordering;

/// One way.
const DELAY: Duration = Duration::from_millis(10);
/// Base view timeouts until the blocks must be there.
const TIMEOUTS: u32 = 20;
/// Blocks to commit.
const BLOCKS: u64 = 2;

/// Whether the state is not in the sample, or commits.
pub(crate) fn sample_commits(world: &World, state: &State) -> bool {
    // Each state is judged once, and this is one of the rules.
    world.judged.fetch_add(1, Ordering::Relaxed);
    let every = world.scope().fair_every;
    if every == 0 {
        return true;
    }
    let nodes: Vec<Node> = {
        let table = world.read();
        let known = state.nodes.iter().take(world.setup.honest.len());
        let infos = known.clone().map(|node| table.info(*node).fingerprint);
        let net = table.net(state.net).fingerprint;
        let mixed = infos.fold(net, |sum, it| sum.rotate_left(7).wrapping_add(it));
        if !mixed.is_multiple_of(every) {
            return true;
        }
        known.map(|node| (**table.node(*node)).clone()).collect()
    };
    world.schedules.fetch_add(1, Ordering::Relaxed);
    Schedule::new(nodes).commits(&world.setup)
}

struct Schedule {
    nodes: Vec<Node>,
    /// When each node's clock stood at the start.
    starts: Vec<Time>,
    elapsed: Duration,
    /// Receiver, sender, message: all arrive together.
    on_the_way: Vec<(usize, OperatorId, ConsensusMessage)>,
}

impl Schedule {
    fn new(nodes: Vec<Node>) -> Self {
        Self {
            starts: nodes.iter().map(|node| node.now.time).collect(),
            nodes,
            elapsed: Duration::ZERO,
            on_the_way: Vec::new(),
        }
    }

    fn commits(mut self, setup: &Setup) -> bool {
        let heights = self.nodes.iter().map(|node| node.core.status().committed.0);
        let goal = heights.max().unwrap_or_default() + BLOCKS;
        let limit = setup.config.view_timeout * TIMEOUTS;
        for place in 0..self.nodes.len() {
            self.happen(setup, place, |node, setup| node.settle(setup));
        }
        while self.elapsed <= limit {
            let reached = |node: &Node| node.core.status().committed.0 >= goal;
            if self.members(setup).all(reached) {
                return true;
            }
            self.advance(setup);
        }
        false
    }

    /// Members of the latest committee.
    fn members<'a>(&'a self, setup: &Setup) -> impl Iterator<Item = &'a Node> {
        let epochs = self.nodes.iter().map(|node| node.core.status().at.epoch);
        let committee = setup.committee(epochs.max().unwrap_or_default());
        let nodes = self.nodes.iter();
        nodes.filter(move |node| committee.index(node.operator).is_some())
    }

    /// Everything on the way arrives; if nothing is, the next timers run out.
    fn advance(&mut self, setup: &Setup) {
        if self.on_the_way.is_empty() {
            let waits = self
                .nodes
                .iter()
                .zip(&self.starts)
                .filter_map(|(node, start)| {
                    let due = node.core.next_deadline()?;
                    Some(due.since(start.after(self.elapsed)))
                });
            // Nobody waits for anything: time passes, and the caller gives up.
            let wait = waits.min().unwrap_or(setup.config.view_timeout);
            self.elapsed += wait.max(Duration::from_millis(1));
        } else {
            self.elapsed += DELAY;
        }
        let elapsed_ms = u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX);
        for (node, start) in self.nodes.iter_mut().zip(&self.starts) {
            node.set_clock(start.after(self.elapsed), elapsed_ms);
        }
        for (to, from, message) in std::mem::take(&mut self.on_the_way) {
            let input = Input::Message { from, message };
            self.happen(setup, to, |node, setup| node.run(setup, input));
        }
        for place in 0..self.nodes.len() {
            let node = &self.nodes[place];
            if node
                .core
                .next_deadline()
                .is_some_and(|due| due <= node.now.time)
            {
                self.happen(setup, place, |node, setup| node.run(setup, Input::Tick));
            }
            if self.nodes[place].core.status().epoch_ended {
                self.happen(setup, place, |node, setup| {
                    let (after, effects) = node.after(setup, Event::Epoch);
                    *node = after;
                    effects
                });
            }
        }
    }

    fn happen(
        &mut self,
        setup: &Setup,
        place: usize,
        event: impl FnOnce(&mut Node, &Setup) -> Effects,
    ) {
        let node = &mut self.nodes[place];
        let mut effects = event(node, setup);
        // Whatever the scope's disk is, here it is quick.
        let rest = node.settle(setup);
        effects.sent.extend(rest.sent);
        let (from, epoch) = (node.operator, node.core.status().at.epoch);
        let committee = setup.committee(epoch);
        for (to, message) in effects.sent {
            for (place, other) in setup.honest.iter().enumerate() {
                let meant = match to {
                    Some(to) => to == *other,
                    None => *other != from && committee.index(*other).is_some(),
                };
                if meant {
                    self.on_the_way.push((place, from, message.clone()));
                }
            }
        }
    }
}
