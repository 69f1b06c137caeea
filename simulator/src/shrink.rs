//! A failing run with less in it: classes of faults, views and operators are left out while the same rule
//! stays broken.

use crate::fault::Fault;
use crate::plan::{Options, Plan};
use crate::world::{Failure, run_guarded};

/// The smallest failing run that was found.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// What to run.
    pub options: Options,
    /// What happens then.
    pub failure: Failure,
}

/// Shrinks a failing seed; `None` if it doesn't fail. `progress` hears of each attempt that still fails.
pub fn shrink(seed: u64, options: Options, mut progress: impl FnMut(&str)) -> Option<Shrunk> {
    let failure = run_guarded(seed, &options, false).failure?;
    let rule = failure.violation.invariant;
    let mut best = Shrunk { options, failure };
    let mut attempt = |best: &mut Shrunk, options: Options, what: &str| {
        let failure = run_guarded(seed, &options, false).failure;
        if let Some(failure) = failure.filter(|failure| failure.violation.invariant == rule) {
            progress(what);
            *best = Shrunk { options, failure };
        }
    };
    for fault in Fault::ALL {
        if Plan::draw(seed, &best.options).has(fault) {
            let mut options = best.options.clone();
            options.without.insert(fault);
            attempt(&mut best, options, &format!("without {}", fault.name()));
        }
    }
    for members in [4, 7] {
        if best.options.members.is_none() {
            let options = Options {
                members: Some(members),
                ..best.options.clone()
            };
            attempt(&mut best, options, &format!("{members} operators"));
        }
    }
    for views in [5, 10, 20, 50, 100, 200] {
        if best.options.views.unwrap_or(400) > views {
            let options = Options {
                views: Some(views),
                ..best.options.clone()
            };
            attempt(&mut best, options, &format!("{views} views"));
        }
    }
    Some(best)
}
