//! Clients: transactions, some of them several times, some that expire soon, some in bursts.

use super::World;
use super::event::Event;
use crate::node::ROLLUPS;
use squad_primitives::{Height, Transaction, TxKind};

/// Longest that clients wait for a block: what they sent may be lost, and then no block comes.
const PATIENCE_US: u64 = 500_000;

/// What clients sent since they saw a block.
#[derive(Debug, Default)]
pub(super) struct Patience {
    head: Height,
    since_us: u64,
    sent: u64,
}

impl World {
    /// Whether clients go on, or wait for the next block.
    fn goes_on(&mut self) -> bool {
        let head = self.head();
        let patience = &mut self.patience;
        if head != patience.head || self.now >= patience.since_us + PATIENCE_US {
            *patience = Patience {
                head,
                since_us: self.now,
                sent: 0,
            };
        }
        patience.sent += 1;
        patience.sent <= self.plan.load.per_block_max
    }

    /// New transactions, and when the next ones come.
    pub(super) fn submit(&mut self) {
        if !self.loaded {
            return;
        }
        let load = self.plan.load.clone();
        let random = &mut self.streams.load;
        let next = random.below(2 * load.interval_us) + 1;
        let count = if load.burst > 0 && random.permille(5) {
            load.burst
        } else {
            1
        };
        self.events.at(self.now + next, Event::Submit);
        if !self.goes_on() {
            return;
        }
        if count > 1 {
            self.coverage.count("burst");
        }
        let slot = self.streams.load.index(self.slots.len());
        for _ in 0..count {
            let transaction = self.transaction();
            self.offer(slot, &transaction);
            if self.streams.load.percent(load.resubmit_percent) {
                self.coverage.count("resubmit");
                for _ in 0..=self.streams.load.below(3) {
                    let slot = self.streams.load.index(self.slots.len());
                    let longest = self.streams.load.pick(&[1_000, 200_000, 3_000_000]);
                    let at = self.now + self.streams.load.below(longest);
                    let transaction = Box::new(transaction.clone());
                    self.events.at(at, Event::Resubmit { slot, transaction });
                }
            }
        }
    }

    fn transaction(&mut self) -> Transaction {
        self.submitted += 1;
        let head = self.head().0;
        let random = &mut self.streams.load;
        let length = 8 + random.below(self.plan.load.payload_max);
        let mut payload = vec![0; usize::try_from(length).unwrap_or(8)];
        payload[..8].copy_from_slice(&self.submitted.to_le_bytes());
        let expiry = if random.percent(self.plan.load.expiring_percent) {
            self.coverage.count("expiring");
            random.below(25)
        } else {
            self.plan.expiry_max_blocks
        };
        Transaction {
            rollup: random.pick(&ROLLUPS).0,
            expiry: Height(head + expiry),
            kind: TxKind::Plain,
            payload: payload.into(),
        }
    }

    /// Highest block that is ordered anywhere.
    pub(super) fn head(&self) -> Height {
        let nodes = self
            .slots
            .iter()
            .filter(|slot| slot.honest)
            .filter_map(|slot| slot.node.as_ref());
        nodes
            .map(|node| node.shell().written())
            .max()
            .unwrap_or_default()
    }

    /// A transaction reaches an operator, which may be away or refuse it.
    pub(super) fn offer(&mut self, slot: usize, transaction: &Transaction) {
        let transaction = transaction.clone();
        let mut refused = false;
        self.with(slot, |node, now| {
            refused = node.submit(now, transaction).is_err()
        });
        if refused {
            self.coverage.count("refused");
        }
    }
}
