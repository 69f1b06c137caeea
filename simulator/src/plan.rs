//! Swarm: what a seed draws before the run. First which classes of faults are on, then how strong, so
//! that some runs meet one fault at full strength and others a mixture (Groce et al., ISSTA '12).
//!
//! Everything is drawn whatever is left out afterwards, so that a run without one class is otherwise the
//! same run: that is what makes shrinking work.

use crate::adversary::Behaviour;
use crate::fault::Fault;
use crate::random::Random;
use std::collections::BTreeSet;

/// What the caller asks for; the rest comes from the seed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Views after which faults stop; 400 if not given.
    pub views: Option<u64>,
    /// Size of the committee.
    pub members: Option<usize>,
    /// Classes that are left out.
    pub without: BTreeSet<Fault>,
    /// The only behaviour of Byzantine operators.
    pub behaviour: Option<Behaviour>,
    /// Twins of so many operators and an adverse split, whatever the protocol allows: a harness that
    /// sees no fork then is broken.
    pub excess_twins: usize,
}

/// The nodes' default.
const REBROADCAST_US: u64 = 100_000;

/// How transactions come.
#[derive(Clone, Debug)]
pub struct Load {
    /// Mean time between two submissions in the whole network, in microseconds.
    pub interval_us: u64,
    /// Submissions after which clients wait for the next block. Else a network that is slowed down takes
    /// in so much that simulating it costs minutes, and all of it waits.
    pub per_block_max: u64,
    /// Submissions at once when there is a burst.
    pub burst: u64,
    /// Percent of transactions that are submitted again elsewhere.
    pub resubmit_percent: u64,
    /// Percent of transactions that expire within a few blocks.
    pub expiring_percent: u64,
    /// Largest payload in bytes.
    pub payload_max: u64,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// Classes that are on.
    pub faults: BTreeSet<Fault>,
    /// Stake by operator.
    pub stakes: Vec<u64>,
    /// Operators that don't follow the protocol.
    pub byzantine: Vec<(usize, Behaviour)>,
    /// Operators that lose their disks.
    pub wiped: Vec<usize>,
    /// Operators that run twice beyond what the protocol promises to survive.
    pub excess_twins: Vec<usize>,
    /// Views after which faults stop.
    pub views: u64,
    /// Longest time with faults, in microseconds.
    pub safety_us_max: u64,
    /// Blocks per epoch.
    pub epoch_blocks: u64,
    /// How often what is unanswered is repeated, in microseconds. Mostly set for the network's delays, as
    /// operators do; sometimes far too short for them.
    pub rebroadcast_us: u64,
    /// One-way delay of a link, in microseconds: the range from which each draws its own.
    pub latency_us: (u64, u64),
    /// Percent by which the delay of a message varies.
    pub jitter_percent: u64,
    /// Per mille of messages that get lost.
    pub loss_permille: u64,
    /// Per mille of messages that arrive twice.
    pub duplicate_permille: u64,
    /// Largest difference of wall clocks to true time, in milliseconds.
    pub skew_ms: u64,
    /// Largest deviation of clock rates, in parts per thousand.
    pub drift_permille: u64,
    /// Time between two strokes of fate (crash, cut, jump, …), in microseconds.
    pub stroke_us: (u64, u64),
    /// How long a crashed process stays away, in microseconds.
    pub away_us: (u64, u64),
    /// How long a sync takes, in microseconds.
    pub sync_us: (u64, u64),
    /// Per mille of syncs that fail.
    pub failed_permille: u64,
    /// Operators whose disk or processor is slow.
    pub slow: Vec<usize>,
    /// Load.
    pub load: Load,
    /// How many blocks ahead an expiry may lie.
    pub expiry_max_blocks: u64,
    /// Coverage delay in milliseconds.
    pub coverage_ms: u64,
    /// Bytes of bodies in one block.
    pub block_bytes_max: u64,
    /// Batches of a lane ahead of its committed tip.
    pub window_batches: u64,
    /// Ed25519 instead of stand-ins.
    pub real_signatures: bool,
}

impl Plan {
    /// Draws the plan of a seed.
    #[must_use]
    pub fn draw(seed: u64, options: &Options) -> Self {
        let mut random = Random::stream(seed, "plan");
        let drawn = random.pick(&[4, 4, 7, 10]);
        let members = options.members.unwrap_or(drawn);
        let stakes = stakes(members, &mut random);
        let faults = classes(&mut random, options);
        let strong = |on: bool, value: u64| if on { value } else { 0 };
        let on = |fault: Fault| faults.contains(&fault);
        let mut byzantine = guilty(&stakes, &mut Random::stream(seed, "guilty"), options);
        let mut wiped = Vec::new();
        // The stake that may be faulty is spent on one or the other.
        if random.percent(50) && on(Fault::Wipe) {
            wiped = std::mem::take(&mut byzantine)
                .into_iter()
                .map(|(operator, _)| operator)
                .collect();
        } else if !on(Fault::Byzantine) {
            byzantine.clear();
        }
        let slow = (0..members).filter(|_| random.percent(20)).collect();
        let latency_max = random.pick(&[1_000, 5_000, 25_000, 25_000, 80_000, 150_000]);
        // Shorter than messages travel, the rule would refuse honest leaders.
        let short = random.pick(&[40, 500, 500]);
        let coverage_ms = if latency_max > 5_000 { 500 } else { short };
        let block_bytes_max = random.pick(&[32 << 10, 16 << 20, 16 << 20]);
        Self {
            seed,
            byzantine,
            wiped,
            excess_twins: (members.saturating_sub(options.excess_twins)..members).collect(),
            views: options.views.unwrap_or(400),
            safety_us_max: 600_000_000,
            epoch_blocks: random.pick(&[5, 13, 50, 1_000, 1_000]),
            rebroadcast_us: if random.percent(80) {
                (2 * latency_max).max(REBROADCAST_US)
            } else {
                REBROADCAST_US
            },
            latency_us: (300, latency_max),
            jitter_percent: strong(on(Fault::Jitter), random.pick(&[10, 50, 100, 300])),
            loss_permille: strong(on(Fault::Loss), random.pick(&[2, 10, 50, 200])),
            duplicate_permille: strong(on(Fault::Duplicate), random.pick(&[10, 100, 300])),
            skew_ms: strong(on(Fault::Skew), random.pick(&[20, 200, 500])),
            drift_permille: strong(on(Fault::Drift), random.pick(&[1, 20, 50])),
            stroke_us: random.pick(&[
                (20_000, 200_000),
                (100_000, 1_000_000),
                (500_000, 4_000_000),
            ]),
            away_us: random.pick(&[
                (1_000, 50_000),
                (10_000, 2_000_000),
                (1_000_000, 20_000_000),
            ]),
            sync_us: if on(Fault::SlowDisk) {
                random.pick(&[(1_000, 20_000), (50, 60_000)])
            } else {
                random.pick(&[(50, 200), (300, 3_000)])
            },
            failed_permille: strong(on(Fault::FailedWrite), random.pick(&[1, 3])),
            slow,
            load: Load {
                interval_us: random.pick(&[4_000, 15_000, 60_000, 60_000, 300_000]),
                per_block_max: random.pick(&[5, 20, 20, 100]),
                burst: strong(on(Fault::Burst), random.pick(&[20, 200])),
                resubmit_percent: strong(on(Fault::Resubmit), random.pick(&[10, 50])),
                expiring_percent: strong(on(Fault::Expiring), random.pick(&[10, 60])),
                payload_max: random.pick(&[40, 200, 2_000]),
            },
            expiry_max_blocks: random.pick(&[60, 400, 6_000]),
            coverage_ms,
            block_bytes_max,
            // Small blocks with a small window: what waits must fit into the time to drain.
            window_batches: if block_bytes_max < 1 << 20 {
                32
            } else {
                random.pick(&[32, 1_024])
            },
            real_signatures: random.percent(1),
            stakes,
            faults,
        }
    }

    /// Number of operators.
    #[must_use]
    pub fn members(&self) -> usize {
        self.stakes.len()
    }

    /// Whether a class is on.
    #[must_use]
    pub fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    /// Whether an operator keeps to the protocol and keeps its disk.
    #[must_use]
    pub fn is_honest(&self, operator: usize) -> bool {
        !self.byzantine.iter().any(|(guilty, _)| *guilty == operator)
            && !self.wiped.contains(&operator)
            && !self.excess_twins.contains(&operator)
    }
}

/// Each class is on in half of the seeds; one seed in sixteen has none, one in sixteen only one.
fn classes(random: &mut Random, options: &Options) -> BTreeSet<Fault> {
    let mut faults: BTreeSet<Fault> = Fault::ALL
        .into_iter()
        .filter(|_| random.percent(50))
        .collect();
    let lonely = random.pick(&Fault::ALL);
    match random.below(16) {
        0 => faults.clear(),
        1 => faults = [lonely].into(),
        _ => {}
    }
    faults.retain(|fault| !options.without.contains(fault));
    if options.behaviour.is_some() {
        faults.insert(Fault::Byzantine);
        faults.remove(&Fault::Wipe);
    }
    faults
}

fn stakes(members: usize, random: &mut Random) -> Vec<u64> {
    match random.below(5) {
        // Sets of exactly one and two thirds.
        4 => (0..members)
            .map(|operator| if operator < 2 { 2 } else { 1 })
            .collect(),
        0 => (0..members).map(|_| 10 + random.below(20)).collect(),
        // One operator just below a third.
        1 => {
            let mut stakes = vec![100; members];
            stakes[0] = (100 * (members as u64 - 1) - 1) / 2;
            stakes
        }
        _ => vec![1; members],
    }
}

/// Operators of less than a third of stake, each with its behaviour.
fn guilty(stakes: &[u64], random: &mut Random, options: &Options) -> Vec<(usize, Behaviour)> {
    if options.excess_twins > 0 {
        return Vec::new();
    }
    let total: u64 = stakes.iter().sum();
    let common = random.pick(&Behaviour::ALL);
    let colluding = random.percent(50);
    let mut spent = 0;
    let mut guilty = Vec::new();
    let start = random.index(stakes.len());
    for offset in 0..stakes.len() {
        let operator = (start + offset) % stakes.len();
        let own = random.pick(&Behaviour::ALL);
        if (spent + stakes[operator]) * 3 >= total {
            continue;
        }
        spent += stakes[operator];
        let drawn = if colluding { common } else { own };
        guilty.push((operator, options.behaviour.unwrap_or(drawn)));
    }
    guilty
}
