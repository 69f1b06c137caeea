//! What is asked of a run, and whether it holds.

use serde::Serialize;
use std::fmt;

/// One demand with what was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Criterion {
    /// What is asked.
    pub name: String,
    /// What was seen, in words and figures.
    pub seen: String,
    /// Whether it holds.
    pub holds: bool,
    /// Whether it is a rule, which a slow or busy machine keeps as well; else it is a figure.
    pub rule: bool,
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.holds { "ok  " } else { "FAIL" };
        write!(f, "{mark} {}: {}", self.name, self.seen)
    }
}

/// All demands of a run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verdict {
    /// In the order in which they were judged.
    pub criteria: Vec<Criterion>,
}

impl Verdict {
    /// Judges a demand that holds on any machine.
    pub fn rule(&mut self, name: impl Into<String>, holds: bool, seen: impl Into<String>) {
        self.judge(name.into(), holds, seen.into(), true);
    }

    /// Judges a demand on speed, which says little on a busy machine or of a short run.
    pub fn figure(&mut self, name: impl Into<String>, holds: bool, seen: impl Into<String>) {
        self.judge(name.into(), holds, seen.into(), false);
    }

    fn judge(&mut self, name: String, holds: bool, seen: String, rule: bool) {
        self.criteria.push(Criterion {
            name,
            seen,
            holds,
            rule,
        });
    }

    /// Whether all rules hold, whatever the figures are.
    #[must_use]
    pub fn rules_hold(&self) -> bool {
        self.criteria
            .iter()
            .all(|criterion| criterion.holds || !criterion.rule)
    }

    /// Whether all hold.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.criteria.iter().all(|criterion| criterion.holds)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.criteria
            .iter()
            .try_for_each(|criterion| writeln!(f, "{criterion}"))
    }
}
