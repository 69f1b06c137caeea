//! One run of the checker over one scope.

use crate::scope::Scope;
use crate::world::World;
use stateright::{Checker, DiscoveryClassification, HasDiscoveries, Model, UniformChooser};

/// Which paths to take.
#[derive(Clone, Copy, Debug)]
pub enum Search {
    /// All, the shortest first. With one thread and a bound, the states judged are exactly those on
    /// paths that are shorter.
    Breadth {
        /// Longest path, counted in states.
        depth: Option<usize>,
    },
    /// Random ones from the beginning to the end, where nothing can happen any more.
    Walks {
        /// Seed of the first path.
        seed: u64,
    },
}

/// How to search, and when to stop.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Which paths to take.
    pub search: Search,
    /// Steps after which to stop, repetitions included.
    pub steps: Option<usize>,
    /// Threads of the checker.
    pub threads: usize,
    /// The rule whose violation ends the run; any rule if none is named.
    pub until: Option<&'static str>,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Report {
    /// Different states that were met; in walks, states met at all.
    pub unique: usize,
    /// States for which the rules were asked; those on the edge of a bound are met but not judged.
    pub judged: u64,
    /// Steps, repetitions included.
    pub steps: usize,
    /// Longest path, in states.
    pub depth: usize,
    /// Different states of single operators.
    pub operators: usize,
    /// Different sets of signed items.
    pub networks: usize,
    /// Fair schedules run.
    pub schedules: u64,
    /// Answers of cores with equal essences that were compared, and how many differed.
    pub compared: (u64, u64),
    /// Broken rules, each with a path that breaks it.
    pub broken: Vec<(&'static str, Vec<String>)>,
    /// Things that should happen and did.
    pub seen: Vec<&'static str>,
}

impl Report {
    /// Whether no rule is broken and equal essences gave equal answers.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.broken.is_empty() && self.compared.1 == 0
    }
}

/// Explores a scope.
#[must_use]
pub fn explore(scope: Scope, limits: Limits) -> Report {
    let mut world = World::new(scope);
    world.strict = matches!(limits.search, Search::Walks { .. });
    let mut builder = world.checker().threads(limits.threads);
    builder = builder.finish_when(match limits.until {
        Some(rule) => HasDiscoveries::AnyOf([rule].into()),
        None => HasDiscoveries::AnyFailures,
    });
    if let Some(steps) = limits.steps {
        builder = builder.target_state_count(steps);
    }
    match limits.search {
        Search::Breadth { depth } => {
            if let Some(depth) = depth {
                builder = builder.target_max_depth(depth);
            }
            report(&builder.spawn_bfs().join())
        }
        Search::Walks { seed } => report(&builder.spawn_simulation(seed, UniformChooser).join()),
    }
}

fn report(checker: &impl Checker<World>) -> Report {
    let world = checker.model();
    let (operators, networks) = world.sizes();
    let (mut broken, mut seen) = (Vec::new(), Vec::new());
    for (rule, path) in checker.discoveries() {
        match checker.discovery_classification(rule) {
            DiscoveryClassification::Example => seen.push(rule),
            DiscoveryClassification::Counterexample => {
                let actions = path.into_actions().into_iter();
                broken.push((rule, actions.map(|action| world.describe(action)).collect()));
            }
        }
    }
    broken.sort_unstable();
    seen.sort_unstable();
    Report {
        unique: checker.unique_state_count(),
        judged: world.judged(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
        operators,
        networks,
        schedules: world.schedules(),
        compared: world.audits(),
        broken,
        seen,
    }
}
