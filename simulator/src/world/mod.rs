//! A network of nodes under virtual time. One seed, one run: nothing here reads a clock, a disk or the
//! system's randomness, and everything that is iterated has an order.

mod clients;
mod event;
mod fate;
mod observer;
mod phases;
mod route;
mod scale;
mod setup;
mod slot;

pub use phases::{Failure, Outcome, run, run_guarded};
pub use scale::{Map, Measured, measure};
pub use slot::{Clock, Slot};

use crate::fault::{Coverage, Fault};
use crate::invariants::{Bounds, Facts, Invariants, Violation};
use crate::keys::Keys;
use crate::net::Network;
use crate::node::{Action, BootConfig, Identity, Node};
use crate::plan::Plan;
use crate::random::Random;
use clients::Patience;
use event::{Event, Events};
use observer::Observer;
use setup::{boot_config, committee, slots};
use squad_primitives::{Digest, NetworkId, OperatorId};
use std::collections::BTreeMap;

/// Longest wait for an answer to a fetch, as in the node.
const FETCH_TIMEOUT_US: u64 = 2_000_000;
/// Events of a node between two checks of its bounds.
const EVENTS_PER_CHECK: u32 = 16;
/// Most transactions in a pool.
const POOL_TRANSACTIONS: u64 = 5_000;

/// Random streams, one per concern.
#[derive(Debug)]
struct Streams {
    disk: Random,
    fate: Random,
    load: Random,
    links: Random,
    attack: Random,
}

/// A network.
#[derive(Debug)]
pub struct World {
    /// What the seed drew.
    pub plan: Plan,
    keys: Keys,
    config: BootConfig,
    now: u64,
    events: Events,
    slots: Vec<Slot>,
    /// Slots by operator.
    homes: BTreeMap<OperatorId, Vec<usize>>,
    net: Network,
    streams: Streams,
    invariants: Invariants,
    bounds: Bounds,
    coverage: Coverage,
    observer: Observer,
    violation: Option<Violation>,
    /// Which peers the second of a pair of twins hears; all hear both if there is none.
    twin_mask: Option<u64>,
    /// Faults strike.
    stormy: bool,
    /// Clients submit.
    loaded: bool,
    submitted: u64,
    patience: Patience,
    views: u64,
    event_count: u64,
    sent: u64,
    /// Ages of blocks at their commits, if they are measured.
    ages_us: Option<Vec<u64>>,
}

impl World {
    /// A network of a plan, all nodes about to start.
    #[must_use]
    pub fn new(plan: Plan, trace: bool) -> Self {
        let keys = Keys::new(plan.members(), plan.real_signatures);
        let network: NetworkId = Digest::of_parts("simulator", &Digest::ZERO, &[]);
        let committee = committee(&plan, &keys);
        let stream = |concern| Random::stream(plan.seed, concern);
        let slots = slots(&plan, &mut stream("machines"));
        let mut homes: BTreeMap<OperatorId, Vec<usize>> = BTreeMap::new();
        for (index, slot) in slots.iter().enumerate() {
            homes.entry(slot.operator).or_default().push(index);
        }
        let config = boot_config(&plan, network, committee.clone());
        let facts = Facts {
            network,
            committee,
            verifier: keys.verifier.clone(),
            coverage_us: plan.coverage_ms * 1_000,
            block_bytes_max: plan.block_bytes_max,
            window_batches: plan.window_batches,
            headers: BTreeMap::new(),
            blocks: BTreeMap::new(),
            justified: BTreeMap::new(),
        };
        let mut world = Self {
            net: Network::new(&plan, slots.len(), !plan.has(Fault::Reorder)),
            streams: Streams {
                disk: stream("disk"),
                fate: stream("fate"),
                load: stream("load"),
                links: stream("links"),
                attack: stream("attack"),
            },
            bounds: Bounds {
                members: plan.members(),
                window_batches: plan.window_batches,
                pool_transactions: POOL_TRANSACTIONS,
            },
            keys,
            config,
            now: 0,
            events: Events::default(),
            slots,
            homes,
            invariants: Invariants::new(facts),
            coverage: Coverage::default(),
            observer: Observer::new(trace),
            violation: None,
            twin_mask: None,
            stormy: true,
            loaded: true,
            submitted: 0,
            patience: Patience::default(),
            views: 0,
            event_count: 0,
            sent: 0,
            ages_us: None,
            plan,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        // Twins act by being two; nothing else of theirs is counted.
        let twins = self.slots.len() - self.plan.members();
        for _ in 0..twins {
            self.coverage.count("twin");
        }
        for slot in 0..self.slots.len() {
            let at = self.streams.fate.below(20_000);
            self.events.at(at, Event::Boot { slot });
        }
        self.events.at(1_000, Event::Submit);
        let first = self.streams.fate.between(self.plan.stroke_us);
        self.events.at(first, Event::Stroke);
        if self.plan.excess_twins.is_empty() {
            self.twin_mask = self
                .streams
                .fate
                .percent(80)
                .then(|| self.streams.fate.draw());
        } else {
            self.coverage.count("excess-twins");
        }
    }

    /// Handles events up to a moment, or until a rule is broken.
    fn run_to(&mut self, limit: u64) {
        while self.violation.is_none() {
            let Some((at, event)) = self.events.pop(limit) else {
                self.now = limit;
                return;
            };
            self.now = at;
            self.event_count += 1;
            self.handle(event);
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Deliver { to, from, packet } => {
                let sender = self.slots[from].operator;
                if let Some(adversary) = &mut self.slots[to].adversary {
                    adversary.arriving(sender, &packet);
                }
                self.with(to, |node, now| node.receive(now, sender, *packet));
            }
            Event::Synced { slot, life, file } => {
                if self.slots[slot].life == life {
                    self.on_synced(slot, file);
                }
            }
            Event::Wake { slot, life } => {
                let place = &mut self.slots[slot];
                if place.life == life && place.wake_at == Some(self.now) {
                    place.wake_at = None;
                    self.with(slot, Node::tick);
                }
            }
            Event::FetchTimeout {
                slot,
                life,
                from,
                digest,
            } => {
                if self.slots[slot].life == life {
                    self.with(slot, |node, now| node.fetch_timeout(now, from, digest));
                }
            }
            Event::Link { slot, peer, up } => self.on_link(slot, peer, up),
            Event::Boot { slot } => self.boot(slot),
            Event::Stroke => self.strike(),
            Event::Mend => self.mend_one(),
            Event::Submit => self.submit(),
            Event::Resubmit { slot, transaction } => self.offer(slot, &transaction),
        }
    }

    /// Lets a running node do something, carries out what it asks for and sets its alarm.
    fn with(&mut self, slot: usize, act: impl FnOnce(&mut Node, squad_primitives::Now)) {
        let place = &mut self.slots[slot];
        let now = place.clock.read(self.now);
        let Some(node) = &mut place.node else {
            return;
        };
        act(node, now);
        let actions = node.take_actions();
        for action in actions {
            self.carry_out(slot, action);
        }
        self.set_alarm(slot);
        self.check_bounds(slot);
    }

    fn set_alarm(&mut self, slot: usize) {
        let place = &mut self.slots[slot];
        let deadline = place.node.as_ref().and_then(Node::next_deadline);
        let at = deadline.map(|deadline| place.clock.when(deadline).max(self.now));
        if at != place.wake_at {
            place.wake_at = at;
            let life = place.life;
            if let Some(at) = at {
                self.events.at(at, Event::Wake { slot, life });
            }
        }
    }

    fn check_bounds(&mut self, slot: usize) {
        let place = &mut self.slots[slot];
        place.unchecked += 1;
        if place.unchecked < EVENTS_PER_CHECK || !place.honest {
            return;
        }
        place.unchecked = 0;
        if let Some(node) = &place.node
            && let Err(what) = self.bounds.check(node)
        {
            let what = format!("{}: {what}", place.operator);
            self.fail(Violation {
                invariant: "bounds",
                what,
            });
        }
    }

    fn fail(&mut self, violation: Violation) {
        self.violation.get_or_insert(violation);
    }

    fn carry_out(&mut self, slot: usize, action: Action) {
        match action {
            Action::Send(to, packet) => self.send(slot, to, packet),
            Action::Write(file, write) => {
                if self.slots[slot].disk.append(file, *write) {
                    self.schedule_sync(slot, file);
                }
            }
            Action::AwaitFetch(from, digest) => {
                let life = self.slots[slot].life;
                let event = Event::FetchTimeout {
                    slot,
                    life,
                    from,
                    digest,
                };
                self.events.at(self.now + FETCH_TIMEOUT_US, event);
            }
            Action::Saw(seen) => self.saw(slot, seen),
            Action::Stop(why) => {
                let place = &self.slots[slot];
                if place.honest {
                    let what = format!("{} stops: {why}", place.operator);
                    self.fail(Violation {
                        invariant: "keeps-running",
                        what,
                    });
                }
            }
        }
    }

    fn schedule_sync(&mut self, slot: usize, file: crate::disk::File) {
        let place = &self.slots[slot];
        let life = place.life;
        let took = self.streams.disk.between(place.sync_us);
        self.events
            .at(self.now + took.max(1), Event::Synced { slot, life, file });
    }

    fn on_synced(&mut self, slot: usize, file: crate::disk::File) {
        if self.stormy && self.streams.disk.permille(self.plan.failed_permille) {
            self.coverage.count("failed-write");
            return self.crash(slot, true);
        }
        // The record is there, but nobody hears of it: a crash between record and send.
        let between = self.stormy && self.plan.has(Fault::Crash) && self.streams.disk.permille(1);
        let (done, more) = self.slots[slot].disk.finish(file);
        if between {
            self.coverage.count("crash-between");
            return self.crash(slot, true);
        }
        if more {
            self.schedule_sync(slot, file);
        }
        for done in done {
            self.with(slot, |node, now| node.written(now, done));
        }
    }

    fn boot(&mut self, slot: usize) {
        let place = &mut self.slots[slot];
        if place.node.is_some() {
            return;
        }
        let identity = Identity {
            me: place.operator,
            key: self.keys.signers[place.operator.0 as usize].clone(),
            verifier: self.keys.verifier.clone(),
        };
        place.node = Some(Node::boot(&self.config, &identity, &place.disk.image));
        place.life += 1;
        place.wake_at = None;
        self.with(slot, Node::start);
        for peer in 0..self.slots.len() {
            self.announce(slot, peer);
        }
    }
}
