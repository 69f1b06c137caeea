//! Commit latency and messages by size of the committee, without faults.
//!
//! Processing and disks cost next to nothing here: what is measured is the protocol, in message delays,
//! and how many messages it needs.

use super::World;
use super::slot::WALL_START_MS;
use crate::fault::Fault;
use crate::plan::{Options, Plan};
use squad_primitives::CommittedBlock;

/// How far operators are from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Map {
    /// The same one-way delay between all, in milliseconds.
    Even(u64),
    /// Operators spread over five regions of the world.
    World,
}

/// One-way delays in milliseconds between five regions, as public clouds have them: North America east,
/// Europe, South-East Asia, South America, Japan.
const REGIONS_MS: [[u64; 5]; 5] = [
    [1, 45, 110, 60, 75],
    [45, 1, 80, 100, 115],
    [110, 80, 1, 165, 35],
    [60, 100, 165, 1, 130],
    [75, 115, 35, 130, 1],
];

impl Map {
    fn delay_us(self, from: usize, to: usize) -> u64 {
        match self {
            Self::Even(ms) => ms * 1_000,
            Self::World => REGIONS_MS[from % 5][to % 5] * 1_000,
        }
    }

    /// Name in reports.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Even(ms) => format!("{ms} ms everywhere"),
            Self::World => "five regions".to_owned(),
        }
    }
}

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Size of the committee.
    pub members: usize,
    /// From proposal to commit at each operator, in milliseconds: median.
    pub p50_ms: u64,
    /// Ninety-ninth percentile.
    pub p99_ms: u64,
    /// Blocks per second.
    pub blocks_per_second: f64,
    /// Packets that one operator sends per block, over all kinds.
    pub packets_per_block: f64,
}

/// Time after which the network is taken to run evenly, in microseconds.
const WARM_UP_US: u64 = 2_000_000;

/// Runs a committee for a while under light load.
///
/// # Panics
/// A rule was broken.
#[must_use]
pub fn measure(members: usize, map: Map, seconds: u64) -> Measured {
    let options = Options {
        members: Some(members),
        without: Fault::ALL.into_iter().collect(),
        ..Options::default()
    };
    let mut plan = Plan::draw(0, &options);
    plan.stakes = vec![1; members];
    plan.epoch_blocks = 1_000_000;
    plan.sync_us = (100, 200);
    plan.load.interval_us = 20_000;
    plan.load.per_block_max = u64::MAX;
    plan.coverage_ms = 500;
    plan.block_bytes_max = 16 << 20;
    plan.window_batches = 1_024;
    let mut world = World::new(plan, false);
    for from in 0..members {
        for to in 0..members {
            world.net.set_delay(from, to, map.delay_us(from, to));
        }
    }
    world.run_to(WARM_UP_US);
    world.ages_us = Some(Vec::new());
    let (sent, blocks) = (world.sent, world.head().0);
    world.run_to(WARM_UP_US + seconds * 1_000_000);
    assert_eq!(world.violation, None);
    let mut ages = world.ages_us.take().unwrap_or_default();
    ages.sort_unstable();
    let at = |permille: usize| {
        ages.get(ages.len() * permille / 1_000)
            .map_or(0, |age| age / 1_000)
    };
    let (sent, blocks) = ((world.sent - sent) as f64, (world.head().0 - blocks) as f64);
    Measured {
        members,
        p50_ms: at(500),
        p99_ms: at(990),
        blocks_per_second: blocks / seconds as f64,
        packets_per_block: sent / blocks.max(1.0) / members as f64,
    }
}

impl World {
    /// Notes how old a block is when a node commits it.
    pub(super) fn note_age(&mut self, block: &CommittedBlock) {
        let made_us = block.block.timestamp_ms.saturating_sub(WALL_START_MS) * 1_000;
        let age = self.now.saturating_sub(made_us);
        if let Some(ages) = &mut self.ages_us {
            ages.push(age);
        }
    }
}
