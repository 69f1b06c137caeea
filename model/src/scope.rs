//! What is explored: the committees, who lies, how many views, how disks and processes fail.

use squad_consensus::Config;
use squad_primitives::committee::Member;
use squad_primitives::{Committee, Digest, Duration, Epoch, OperatorId, Stake, View, ViewId};
use squad_simulator::keys::Keys;

/// When records become durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// In the step that writes them.
    Immediate,
    /// By events of their own, the oldest write first, records and committed blocks each in their own
    /// order. At most this many writes of each kind wait; a crash loses them.
    Slow(usize),
}

/// Whether the shell keeps its part of the contract with the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    /// It does.
    Faithful,
    /// Negative control: a restart forgets the promises, but neither certificates nor blocks.
    Forgetful,
    /// Negative control: messages leave before the records that they wait for are durable.
    Hasty,
}

/// A bounded world. All operators have equal stake.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Name, for the command line and for reports.
    pub name: &'static str,
    /// Members of each epoch; the exploration ends with the last block of the last one.
    pub committees: &'static [&'static [u32]],
    /// Operators that sign anything at any time.
    pub byzantine: &'static [u32],
    /// Blocks per epoch.
    pub epoch_blocks: u64,
    /// Last view of each epoch in which anything is said.
    pub views: &'static [u64],
    /// Crashes in all.
    pub crashes: u8,
    /// Disks of the honest operators.
    pub disk: Disk,
    /// Their shells.
    pub shell: Shell,
    /// From one of so many states a fair schedule is run (0: from none).
    pub fair_every: u64,
}

/// Blocks per epoch where no epoch ends.
const ENDLESS: u64 = 1_000;

/// Four operators of one epoch; the second leader is Byzantine.
const BASE: Scope = Scope {
    name: "views",
    committees: &[&[0, 1, 2, 3]],
    byzantine: &[1],
    epoch_blocks: ENDLESS,
    views: &[4],
    crashes: 0,
    disk: Disk::Immediate,
    shell: Shell::Faithful,
    fair_every: 500,
};

impl Scope {
    /// Scopes in which all rules must hold.
    #[must_use]
    pub fn sound() -> Vec<Self> {
        vec![
            BASE,
            Self {
                name: "equivocation",
                byzantine: &[0],
                views: &[2],
                ..BASE
            },
            Self {
                name: "crashes",
                views: &[3],
                crashes: 2,
                ..BASE
            },
            Self {
                name: "disks",
                byzantine: &[0],
                views: &[2],
                crashes: 1,
                disk: Disk::Slow(2),
                ..BASE
            },
            Self {
                name: "epochs",
                committees: &[&[0, 1, 2, 3], &[1, 2, 3, 4]],
                byzantine: &[1],
                epoch_blocks: 1,
                views: &[2, 2],
                crashes: 1,
                ..BASE
            },
        ]
    }

    /// Negative controls: scopes in which a rule must break.
    #[must_use]
    pub fn unsound() -> Vec<Self> {
        let faithful = Self {
            byzantine: &[0],
            views: &[2],
            fair_every: 0,
            ..BASE
        };
        vec![
            Self {
                name: "two-liars",
                byzantine: &[0, 1],
                ..faithful.clone()
            },
            Self {
                name: "forgetful",
                crashes: 1,
                shell: Shell::Forgetful,
                ..faithful.clone()
            },
            Self {
                name: "hasty",
                crashes: 1,
                disk: Disk::Slow(2),
                shell: Shell::Hasty,
                ..faithful
            },
        ]
    }

    /// The scope of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let mut all = Self::sound().into_iter().chain(Self::unsound());
        all.find(|scope| scope.name == name)
    }
}

/// A scope with what follows from it.
#[derive(Debug)]
pub struct Setup {
    /// The scope.
    pub scope: Scope,
    /// Keys of all operators.
    pub keys: Keys,
    /// Parameters of the cores.
    pub config: Config,
    /// Honest operators, in order.
    pub honest: Vec<OperatorId>,
    committees: Vec<Committee>,
}

impl Setup {
    /// Derives everything.
    #[must_use]
    pub fn new(scope: Scope) -> Self {
        let operators: std::collections::BTreeSet<u32> = scope
            .committees
            .iter()
            .copied()
            .flatten()
            .copied()
            .collect();
        let count = operators.last().map_or(0, |last| *last as usize + 1);
        let keys = Keys::new(count, false);
        let committees = scope.committees.iter().zip(0..).map(|(members, epoch)| {
            let members = members.iter().map(|operator| Member {
                operator: OperatorId(*operator),
                key: keys.signers[*operator as usize].public_key(),
                stake: Stake(1),
            });
            Committee::new(Epoch(epoch), members.collect()).expect("scopes have good committees")
        });
        let committees = committees.collect();
        let config = Config {
            // A proposal follows as soon as its parent is known.
            block_interval_min: Duration::ZERO,
            ..Config::new(Digest([3; 32]), scope.epoch_blocks)
        };
        let honest = operators
            .into_iter()
            .filter(|operator| !scope.byzantine.contains(operator))
            .map(OperatorId);
        Self {
            honest: honest.collect(),
            keys,
            config,
            committees,
            scope,
        }
    }

    /// Members of an epoch; after the last epoch of the scope nothing changes any more.
    #[must_use]
    pub fn committee(&self, epoch: Epoch) -> Committee {
        let known = self.committees.iter();
        let last = known
            .take_while(|committee| committee.epoch() <= epoch)
            .last();
        last.expect("epoch 0 has a committee").in_epoch(epoch)
    }

    /// Whether the scope has this epoch.
    #[must_use]
    pub fn has_epoch(&self, epoch: Epoch) -> bool {
        epoch.0 < self.scope.committees.len() as u64
    }

    /// Last view of an epoch in which anything is said.
    #[must_use]
    pub fn last_view(&self, epoch: Epoch) -> View {
        let index = usize::try_from(epoch.0).unwrap_or(usize::MAX);
        View(self.scope.views.get(index).copied().unwrap_or_default())
    }

    /// Whether anything is said in a view.
    #[must_use]
    pub fn covers(&self, at: ViewId) -> bool {
        at.view <= self.last_view(at.epoch)
    }

    /// Leader of a view: equal stake makes the schedule plain round-robin.
    #[must_use]
    pub fn leader(&self, at: ViewId) -> OperatorId {
        let committee = self.committee(at.epoch);
        let turn = at.view.0.saturating_sub(1) % committee.len() as u64;
        let index = usize::try_from(turn).expect("below the committee's length");
        committee.members()[index].operator
    }

    /// Whether an operator is Byzantine.
    #[must_use]
    pub fn lies(&self, operator: OperatorId) -> bool {
        self.scope.byzantine.contains(&operator.0)
    }

    /// Byzantine members of an epoch, one bit each.
    #[must_use]
    pub fn liars(&self, epoch: Epoch) -> u8 {
        let committee = self.committee(epoch);
        let members = committee.members().iter();
        let liars = members.filter(|member| self.lies(member.operator));
        liars.fold(0, |mask, member| mask | 1 << member.operator.0)
    }

    /// The committee of the epoch that begins after `height` blocks.
    #[must_use]
    pub fn epoch_after(&self, height: u64) -> Epoch {
        Epoch(height / self.scope.epoch_blocks)
    }
}
