//! Links between nodes: how long a message takes, and whether it arrives.

use crate::plan::Plan;
use crate::random::Random;
use std::collections::BTreeSet;

/// State of all links, by slot of the sender and of the receiver.
#[derive(Debug)]
pub struct Network {
    slots: usize,
    base_us: Vec<u64>,
    /// Nothing passes.
    cut: BTreeSet<(usize, usize)>,
    /// Nothing arrives before this moment.
    held_until: Vec<u64>,
    /// Arrival of the last message, for links that keep the order.
    last: Vec<u64>,
    fifo: bool,
    jitter_percent: u64,
    loss_permille: u64,
    duplicate_permille: u64,
    random: Random,
}

/// What becomes of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passage {
    /// When copies arrive; none if it is lost.
    pub arrivals: Vec<u64>,
    /// It was lost by chance, not by a cut.
    pub lost: bool,
}

impl Network {
    /// Links of a plan.
    #[must_use]
    pub fn new(plan: &Plan, slots: usize, fifo: bool) -> Self {
        let mut random = Random::stream(plan.seed, "network");
        let base_us = (0..slots * slots).map(|_| random.between(plan.latency_us));
        Self {
            slots,
            base_us: base_us.collect(),
            cut: BTreeSet::new(),
            held_until: vec![0; slots * slots],
            last: vec![0; slots * slots],
            fifo,
            jitter_percent: plan.jitter_percent,
            loss_permille: plan.loss_permille,
            duplicate_permille: plan.duplicate_permille,
            random,
        }
    }

    fn link(&self, from: usize, to: usize) -> usize {
        from * self.slots + to
    }

    /// Sets the one-way delay of a link.
    pub fn set_delay(&mut self, from: usize, to: usize, delay_us: u64) {
        let link = self.link(from, to);
        self.base_us[link] = delay_us;
    }

    /// A message leaves now, with an extra delay at its ends.
    pub fn pass(&mut self, now: u64, from: usize, to: usize, extra_us: u64) -> Passage {
        if self.cut.contains(&(from, to)) {
            return Passage::default();
        }
        if self.random.permille(self.loss_permille) {
            return Passage {
                arrivals: Vec::new(),
                lost: true,
            };
        }
        let copies = 1 + u64::from(self.random.permille(self.duplicate_permille));
        let arrivals = (0..copies)
            .map(|_| self.arrival(now, from, to, extra_us))
            .collect();
        Passage {
            arrivals,
            lost: false,
        }
    }

    fn arrival(&mut self, now: u64, from: usize, to: usize, extra_us: u64) -> u64 {
        let link = self.link(from, to);
        let base = self.base_us[link];
        let jitter = self.random.below(base * self.jitter_percent / 100 + 1);
        let mut at = (now + base + jitter + extra_us).max(self.held_until[link]);
        if self.fifo {
            at = at.max(self.last[link]);
            self.last[link] = at;
        }
        at
    }

    /// The usual delay of a link.
    #[must_use]
    pub fn delay_us(&self, from: usize, to: usize) -> u64 {
        self.base_us[self.link(from, to)]
    }

    /// Holds back everything on a link until a moment.
    pub fn hold(&mut self, from: usize, to: usize, until: u64) {
        let link = self.link(from, to);
        self.held_until[link] = until;
    }

    /// Cuts links, in the given directions.
    pub fn cut(&mut self, links: impl IntoIterator<Item = (usize, usize)>) {
        self.cut.extend(links);
    }

    /// Mends all links, and says which were cut.
    pub fn mend(&mut self) -> BTreeSet<(usize, usize)> {
        std::mem::take(&mut self.cut)
    }

    /// Mends one of the cut links, both ways.
    pub fn mend_one(&mut self) -> Option<(usize, usize)> {
        let (from, to) = self
            .cut
            .iter()
            .nth(self.random.index(self.cut.len()))
            .copied()?;
        self.cut.remove(&(from, to));
        self.cut.remove(&(to, from));
        Some((from, to))
    }

    /// Whether messages pass both ways.
    #[must_use]
    pub fn is_whole(&self, a: usize, b: usize) -> bool {
        !self.cut.contains(&(a, b)) && !self.cut.contains(&(b, a))
    }

    /// Calm weather: no loss, no doubles, little jitter.
    pub fn calm(&mut self) {
        self.loss_permille = 0;
        self.duplicate_permille = 0;
        self.jitter_percent = self.jitter_percent.min(20);
        self.held_until.fill(0);
        // A long way is no fault, but the stated bounds are for ways that fit the timers.
        for base in &mut self.base_us {
            *base = (*base).min(50_000);
        }
    }
}
