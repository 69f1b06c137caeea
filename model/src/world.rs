//! The network as a model for Stateright: states, and what can happen in each.

use crate::act::{Act, Effect, Info};
use crate::book::{Book, Item};
use crate::node::{CROSSED, Node};
use crate::rules;
use crate::scope::{Disk, Scope, Setup};
use crate::table::Table;
use squad_primitives::OperatorId;
use stateright::{Model, Property};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Most honest operators in a scope.
const HONEST_MAX: usize = 4;
/// Place of no operator.
const NOBODY: u32 = u32::MAX;

/// Two honest operators committed different blocks at one height, or one did at different times.
pub(crate) const DISAGREED: u8 = 128;

/// A state of the network: numbers in the [`Table`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The honest operators, in order.
    pub(crate) nodes: [u32; HONEST_MAX],
    /// All that they signed and sent.
    pub(crate) net: u32,
    /// All that they ever committed.
    pub(crate) decided: u32,
    /// Crashes that may still happen.
    pub(crate) crashes_left: u8,
    /// What went wrong on the way here.
    pub(crate) alarms: u8,
}

/// Something happens to one of the honest operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    /// Place of the operator among the honest ones.
    pub replica: u8,
    /// What happens.
    pub act: Act,
}

/// A scope to explore.
#[derive(Debug)]
pub struct World {
    pub(crate) setup: Setup,
    /// Leave out actions that change nothing. Stateright's random walks need that to find a path again;
    /// otherwise it is quicker to let the checker drop them.
    pub(crate) strict: bool,
    table: RwLock<Table>,
    /// States for which the rules were asked.
    pub(crate) judged: AtomicU64,
    /// Fair schedules run.
    pub(crate) schedules: AtomicU64,
}

impl World {
    /// A world at its beginning.
    ///
    /// # Panics
    /// If the scope has no Byzantine operator, or more operators than fit.
    #[must_use]
    pub fn new(scope: Scope) -> Self {
        let setup = Setup::new(scope);
        assert!((1..=HONEST_MAX).contains(&setup.honest.len()));
        assert!(!setup.scope.byzantine.is_empty());
        let table = Table::new(Book::new(setup.config.network));
        Self {
            setup,
            strict: false,
            table: RwLock::new(table),
            judged: AtomicU64::new(0),
            schedules: AtomicU64::new(0),
        }
    }

    /// The scope.
    #[must_use]
    pub const fn scope(&self) -> &Scope {
        &self.setup.scope
    }

    /// Different states of single operators, and different sets of signed items.
    #[must_use]
    pub fn sizes(&self) -> (usize, usize) {
        self.read().sizes()
    }

    /// Answers of cores with equal essences that were compared, and how many differed.
    #[must_use]
    pub fn audits(&self) -> (u64, u64) {
        self.read().audits
    }

    /// States for which the rules were asked.
    #[must_use]
    pub fn judged(&self) -> u64 {
        self.judged.load(Ordering::Relaxed)
    }

    /// Fair schedules that were run.
    #[must_use]
    pub fn schedules(&self) -> u64 {
        self.schedules.load(Ordering::Relaxed)
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an act leads to; asks the real core if that is not known yet.
    fn effect(&self, node: u32, act: Act) -> Arc<Effect> {
        let (subject, event) = {
            let table = self.read();
            if let Some(effect) = table.answer(node, act) {
                return Arc::clone(effect);
            }
            (Arc::clone(table.node(node)), table.event(&self.setup, act))
        };
        let result = subject.after(&self.setup, event);
        self.write().learn(&self.setup, node, act, result)
    }

    fn act_on(&self, state: &State, action: Action) -> State {
        let place = usize::from(action.replica);
        let effect = self.effect(state.nodes[place], action.act);
        let mut next = state.clone();
        next.nodes[place] = effect.node;
        next.alarms |= effect.alarms & !CROSSED;
        if action.act == Act::Crash {
            next.crashes_left -= 1;
        }
        self.record(&mut next, &effect.sent, &effect.commits);
        next
    }

    fn record(&self, state: &mut State, sent: &[Item], commits: &[(u64, u16)]) {
        let found = {
            let table = self.read();
            if table.adds(state.net, sent) {
                table.find_net(state.net, sent)
            } else {
                Some(state.net)
            }
        };
        state.net = found.unwrap_or_else(|| self.write().net_with(&self.setup, state.net, sent));
        if commits.is_empty() {
            return;
        }
        let mut chain = self.read().chain(state.decided).to_vec();
        for (height, block) in commits {
            let index = usize::try_from(height - 1).expect("few heights");
            match chain.get(index) {
                Some(known) if known == block => {}
                None if index == chain.len() => chain.push(*block),
                _ => state.alarms |= DISAGREED,
            }
        }
        state.decided = self.write().keep_chain(chain);
    }

    /// Acts of one operator. Those that change nothing are among them.
    fn acts(&self, table: &Table, state: &State, place: usize, acts: &mut Vec<Act>) {
        let me = self.setup.honest[place];
        let info = table.info(state.nodes[place]);
        if let Disk::Slow(limit) = self.setup.scope.disk {
            if info.waiting.0 > 0 {
                acts.push(Act::Flush);
            }
            if info.waiting.1 > 0 {
                acts.push(Act::Store);
            }
            if info.waiting.0 < limit && info.waiting.1 < limit {
                self.arrivals(table, state, (me, info), acts);
            }
        } else {
            self.arrivals(table, state, (me, info), acts);
        }
        let durable = self.setup.epoch_after(info.chain.len() as u64);
        if state.crashes_left > 0 && self.setup.has_epoch(durable) {
            acts.push(Act::Crash);
        }
    }

    fn arrivals(
        &self,
        table: &Table,
        state: &State,
        (me, info): (OperatorId, &Info),
        acts: &mut Vec<Act>,
    ) {
        if info.epoch_over {
            if self.setup.has_epoch(info.at.epoch.next()) {
                acts.push(Act::Epoch);
            }
            return;
        }
        let net = table.net(state.net);
        for (number, mask) in &net.proposals {
            let proposal = table.book.proposals.get(*number);
            let ahead = proposal.at.epoch == info.at.epoch.next();
            if proposal.leader != me && (proposal.at.epoch == info.at.epoch || ahead) {
                acts.push(Act::Proposal(*number, *mask));
            }
        }
        let above = usize::try_from(info.height).expect("few heights");
        let known = state.nodes.iter().filter(|node| **node != NOBODY);
        let synced: BTreeSet<u16> = known
            .filter_map(|node| table.info(*node).chain.get(above).copied())
            .collect();
        for certified in &net.certificates {
            let number = certified.statement;
            let statement = table.book.statements.get(number);
            if statement.at.epoch == info.at.epoch {
                acts.push(Act::Votes(number, certified.all & !(1 << me.0)));
                acts.push(Act::Certificate(number, certified.quorum));
                let proven = synced.iter().filter(|block| {
                    let proof = &table.book.synced.get(**block).proof;
                    proof.certificate.statement == *statement
                });
                acts.extend(proven.map(|block| Act::Synced(*block, certified.quorum)));
            }
        }
        if self.setup.covers(info.at) {
            acts.push(Act::Pause);
        }
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut state = {
            let mut table = self.write();
            State {
                nodes: [NOBODY; HONEST_MAX],
                net: table.keep_net(&self.setup, Vec::new()),
                decided: table.keep_chain(Vec::new()),
                crashes_left: self.setup.scope.crashes,
                alarms: 0,
            }
        };
        for (place, operator) in self.setup.honest.iter().enumerate() {
            let (node, effects) = Node::first(&self.setup, *operator);
            let effect = self.write().effect(&self.setup, node, &effects);
            state.nodes[place] = effect.node;
            self.record(&mut state, &effect.sent, &effect.commits);
        }
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        {
            let table = self.read();
            let mut acts = Vec::new();
            for (place, replica) in (0..self.setup.honest.len()).zip(0_u8..) {
                acts.clear();
                self.acts(&table, state, place, &mut acts);
                actions.extend(acts.iter().map(|act| Action { replica, act: *act }));
            }
        }
        if self.strict {
            actions.retain(|action| self.next_state(state, *action).is_some());
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let next = self.act_on(last, action);
        (next != *last).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        rules::all()
    }
}
