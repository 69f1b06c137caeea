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
    /// Judges one demand.
    pub fn judge(&mut self, name: impl Into<String>, holds: bool, seen: impl Into<String>) {
        self.criteria.push(Criterion {
            name: name.into(),
            seen: seen.into(),
            holds,
        });
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
