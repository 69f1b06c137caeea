//! The chain as it grows, seen from outside.

use crate::net::{Localnet, PATIENCE};
use squad_client::{BlockStream, Content, RawBlock, Subscription};
use squad_primitives::Height;
use std::collections::BTreeMap;
use std::fmt;
use tokio::sync::watch::{self, Receiver};
use tokio::time::timeout;

/// What a block shows.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) height: u64,
    /// Epoch and view of its first proposal.
    pub(crate) at: (u64, u64),
    pub(crate) timestamp_ms: u64,
    pub(crate) transactions: u32,
    /// How far each lane is ordered.
    pub(crate) lanes: BTreeMap<u32, u64>,
    /// Operators that signed the certificate which makes it final.
    pub(crate) signers: Vec<u32>,
}

impl From<&RawBlock> for Seen {
    fn from(raw: &RawBlock) -> Self {
        let block = raw.header.block.as_ref().expect("a block");
        let at = block.at.expect("a view");
        let commit = raw.header.commit.as_ref().expect("a proof");
        let bitmap = &commit.certificate.as_ref().expect("a certificate").signers;
        let is_set = |index: u32| {
            let byte = bitmap.get(index as usize / 8).copied().unwrap_or(0);
            byte >> (index % 8) & 1 == 1
        };
        Self {
            height: raw.height.0,
            at: (at.epoch, at.view),
            timestamp_ms: block.timestamp_ms,
            transactions: raw.header.result.as_ref().expect("a result").tx_count,
            lanes: block.cut.iter().map(|tip| (tip.lane, tip.seq)).collect(),
            signers: (0..8 * bitmap.len() as u32)
                .filter(|index| is_set(*index))
                .collect(),
        }
    }
}

impl Seen {
    pub(crate) fn lane(&self, operator: usize) -> u64 {
        self.lanes.get(&(operator as u32)).copied().unwrap_or(0)
    }

    /// Views in which no block was made, between `self` and its child. Views begin anew with each epoch.
    fn views_skipped(&self, child: &Self) -> u64 {
        let before = if self.at.0 == child.at.0 {
            self.at.1
        } else {
            0
        };
        child.at.1 - before - 1
    }
}

/// The longest pauses of a part of the chain.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pauses {
    /// Between the timestamps of two blocks, which their leaders took from the machine's clock.
    pub(crate) millis: u64,
    /// Views without a block between two blocks.
    pub(crate) views: u64,
}

impl Pauses {
    pub(crate) fn of(blocks: &[Seen]) -> Self {
        let mut longest = Self::default();
        for pair in blocks.windows(2) {
            let [parent, child] = pair else { continue };
            longest.millis = longest.millis.max(child.timestamp_ms - parent.timestamp_ms);
            longest.views = longest.views.max(parent.views_skipped(child));
        }
        longest
    }
}

impl fmt::Display for Pauses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "longest pause between blocks {} ms, at most {} views without a block",
            self.millis, self.views
        )
    }
}

/// Follows the chain from its first block through some operators; when one dies, through the next.
pub(crate) struct Watch(Receiver<Vec<Seen>>);

impl Watch {
    pub(crate) fn start(net: &Localnet, through: &[usize]) -> Self {
        let endpoints = through.iter().map(|node| net.endpoint(*node)).collect();
        let subscription = Subscription {
            content: Content::Headers,
            patience: PATIENCE,
            ..Subscription::from_height(Height(1))
        };
        let mut stream = BlockStream::new(endpoints, 0, subscription);
        let (sender, receiver) = watch::channel(Vec::new());
        tokio::spawn(async move {
            // It also checks that heights follow each other, across operators.
            while let Ok(raw) = stream.next().await {
                sender.send_modify(|blocks| blocks.push(Seen::from(&raw)));
            }
        });
        Self(receiver)
    }

    /// Waits until the chain looks like this.
    pub(crate) async fn until(&mut self, what: &str, reached: impl Fn(&[Seen]) -> bool) {
        let problem = match timeout(PATIENCE, self.0.wait_for(|blocks| reached(blocks))).await {
            Ok(Ok(_)) => return,
            Ok(Err(_)) => "the stream ended",
            Err(_) => "waited too long",
        };
        panic!("{what}: {problem}, height {}", self.height());
    }

    /// Waits for `count` more blocks with transactions.
    pub(crate) async fn busy_blocks(&mut self, count: usize) {
        let from = self.height();
        self.until("more blocks with transactions", |blocks| {
            let new = blocks.iter().rev().take_while(|block| block.height > from);
            new.filter(|block| block.transactions > 0).count() >= count
        })
        .await;
    }

    pub(crate) fn height(&self) -> u64 {
        self.0.borrow().last().map_or(0, |block| block.height)
    }

    /// Everything so far, by height from 1.
    pub(crate) fn blocks(&self) -> Vec<Seen> {
        self.0.borrow().clone()
    }
}
