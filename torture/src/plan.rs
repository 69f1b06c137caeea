//! What each episode of a run does, drawn from the seed.

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde::Serialize;
use std::time::Duration;

/// One kind of fault with everything that was drawn for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "fault", rename_all = "kebab-case")]
pub enum Fault {
    /// `kill -9`, and a restart after a while.
    Kill {
        /// The operator.
        node: usize,
        /// How long it is down.
        down: Duration,
    },
    /// `kill -9` of the operator that leads.
    KillLeader {
        /// How long it is down.
        down: Duration,
    },
    /// `kill -9`, a restart, and again while it recovers.
    KillTwice {
        /// The operator.
        node: usize,
        /// From the restart to the second kill.
        alive: Duration,
    },
    /// `kill -9` of all operators at once.
    KillAll {
        /// How long they are down.
        down: Duration,
    },
    /// SIGSTOP, later SIGCONT.
    Freeze {
        /// The operator.
        node: usize,
        /// How long it sleeps.
        length: Duration,
    },
    /// SIGTERM and restart of each operator in turn.
    Rolling,
    /// One operator hears nobody, is heard by nobody, or both.
    Isolate {
        /// The operator.
        node: usize,
        /// Whether packets to it are lost.
        deaf: bool,
        /// Whether packets from it are lost.
        mute: bool,
        /// How long.
        length: Duration,
    },
    /// Two groups that don't hear each other.
    Split {
        /// Operators of one group.
        group: Vec<usize>,
        /// How long.
        length: Duration,
    },
    /// Delay, jitter, loss and duplicates on all links.
    Storm {
        /// Largest one-way delay of a link, in milliseconds.
        delay_ms: u64,
        /// Lost packets of a thousand.
        loss_permille: u32,
        /// Doubled packets of a thousand.
        duplicate_permille: u32,
        /// How long.
        length: Duration,
    },
    /// `kill -9`, bytes cut off the end of what was written last to one of the logs, restart.
    CutTail {
        /// The operator.
        node: usize,
    },
    /// `kill -9`, one flipped bit somewhere in the data, restart.
    FlipBit {
        /// The operator.
        node: usize,
    },
    /// No file may grow beyond a size: what a full disk looks like to a program.
    DiskFull {
        /// The operator.
        node: usize,
        /// The size, in KiB.
        file_kib: u64,
    },
}

impl Fault {
    /// Name of the kind.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Kill { .. } => "kill one",
            Self::KillLeader { .. } => "kill the leader",
            Self::KillTwice { .. } => "kill twice",
            Self::KillAll { .. } => "kill all",
            Self::Freeze { .. } => "freeze",
            Self::Rolling => "rolling restart",
            Self::Isolate { .. } => "isolate one",
            Self::Split { .. } => "split",
            Self::Storm { .. } => "storm",
            Self::CutTail { .. } => "cut tail",
            Self::FlipBit { .. } => "flip a bit",
            Self::DiskFull { .. } => "disk full",
        }
    }

    /// Whether commits must go on meanwhile: at most a third of the operators is touched, and the links
    /// among the others are whole.
    #[must_use]
    pub const fn commits_go_on(&self) -> bool {
        !matches!(
            self,
            Self::KillAll { .. } | Self::Split { .. } | Self::Storm { .. }
        )
    }
}

/// Kinds of faults.
const KINDS: usize = 12;

/// Draws episode after episode: each kind once in a random order, then again.
#[derive(Debug)]
pub struct Plan {
    rng: StdRng,
    nodes: usize,
    deck: Vec<usize>,
}

impl Plan {
    /// The plan of a seed for so many operators, at least four.
    #[must_use]
    pub fn new(seed: u64, nodes: usize) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            nodes,
            deck: Vec::new(),
        }
    }

    fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.random_range(range))
    }

    fn fault(&mut self, kind: usize) -> Fault {
        let node = self.rng.random_range(0..self.nodes);
        match kind {
            0 => Fault::Kill {
                node,
                down: self.millis(0..8_000),
            },
            1 => Fault::KillLeader {
                down: self.millis(0..8_000),
            },
            2 => Fault::KillTwice {
                node,
                alive: self.millis(10..1_500),
            },
            3 => Fault::KillAll {
                down: self.millis(0..2_000),
            },
            4 => Fault::Freeze {
                node,
                length: self.millis(500..10_000),
            },
            5 => Fault::Rolling,
            6 => {
                let (deaf, mute) = *[(true, true), (true, false), (false, true)]
                    .get(self.rng.random_range(0..3))
                    .unwrap_or(&(true, true));
                Fault::Isolate {
                    node,
                    deaf,
                    mute,
                    length: self.millis(1_000..8_000),
                }
            }
            7 => {
                let mut all: Vec<usize> = (0..self.nodes).collect();
                all.shuffle(&mut self.rng);
                all.truncate(self.nodes / 2);
                all.sort_unstable();
                Fault::Split {
                    group: all,
                    length: self.millis(1_000..8_000),
                }
            }
            8 => Fault::Storm {
                delay_ms: self.rng.random_range(1..100),
                loss_permille: self.rng.random_range(0..50),
                duplicate_permille: self.rng.random_range(0..20),
                length: self.millis(4_000..10_000),
            },
            9 => Fault::CutTail { node },
            10 => Fault::FlipBit { node },
            _ => Fault::DiskFull {
                node,
                file_kib: self.rng.random_range(64..4_096),
            },
        }
    }
}

impl Iterator for Plan {
    type Item = Fault;

    fn next(&mut self) -> Option<Fault> {
        if self.deck.is_empty() {
            self.deck = (0..KINDS).collect();
            self.deck.shuffle(&mut self.rng);
        }
        let kind = self.deck.pop()?;
        Some(self.fault(kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_seed_gives_one_plan_and_every_kind_comes_once_per_round() {
        let plan = |seed| -> Vec<Fault> { Plan::new(seed, 4).take(5 * KINDS).collect() };
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7), plan(8));
        for round in plan(7).chunks(KINDS) {
            let names: BTreeSet<_> = round.iter().map(Fault::name).collect();
            assert_eq!(names.len(), KINDS);
        }
    }

    #[test]
    fn nobody_is_isolated_by_name_only_and_groups_are_halves() {
        for fault in Plan::new(1, 7).take(20 * KINDS) {
            match fault {
                Fault::Isolate {
                    deaf, mute, node, ..
                } => assert!((deaf || mute) && node < 7),
                Fault::Split { group, .. } => assert_eq!(group.len(), 3),
                _ => {}
            }
        }
    }
}
