//! Seeds that failed once. One line per seed: the seed, its options as on the command line, and after `#`
//! why it failed.

use crate::adversary::Behaviour;
use crate::fault::Fault;
use crate::plan::Options;

/// One seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The seed.
    pub seed: u64,
    /// How it is run.
    pub options: Options,
    /// Why it failed.
    pub reason: String,
}

/// Reads a file of the corpus.
///
/// # Errors
/// Names the line that can't be read.
pub fn parse(text: &str) -> Result<Vec<Case>, String> {
    let lines = text
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|line| case(line).ok_or_else(|| format!("corpus: {line:?}")))
        .collect()
}

fn case(line: &str) -> Option<Case> {
    let (run, reason) = line.split_once('#')?;
    let mut words = run.split_whitespace();
    let seed = words.next()?.parse().ok()?;
    let mut options = Options::default();
    while let Some(name) = words.next() {
        let value = words.next()?;
        match name {
            "--views" => options.views = Some(value.parse().ok()?),
            "--members" => options.members = Some(value.parse().ok()?),
            "--without" => {
                options.without = value.split(',').map(Fault::parse).collect::<Option<_>>()?
            }
            "--behaviour" => options.behaviour = Some(Behaviour::parse(value)?),
            "--excess-twins" => options.excess_twins = value.parse().ok()?,
            _ => return None,
        }
    }
    Some(Case {
        seed,
        options,
        reason: reason.trim().to_owned(),
    })
}
