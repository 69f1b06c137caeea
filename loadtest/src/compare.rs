//! `compare`: is one run worse than another?
//!
//! On shared machines absolute figures wander; compare runs that were made interleaved on one machine,
//! and trust processor time per transaction most.

use crate::report::Report;

/// One figure of two runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// What is compared.
    pub name: &'static str,
    /// Figure of the first run.
    pub before: f64,
    /// Figure of the second run.
    pub after: f64,
    /// How much worse the second is, as a share of the first; negative if it is better.
    pub worse_by: f64,
}

/// Why two reports can't be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// A report of an invalid run has no figures.
    #[error("{0} report: the run is invalid")]
    Invalid(&'static str),
    /// The runs had different loads.
    #[error("the runs differ in {0}")]
    Load(&'static str),
}

/// Compares the figures of two valid runs of the same load.
///
/// # Errors
/// See [`CompareError`].
pub fn compare(before: &Report, after: &Report) -> Result<Vec<Difference>, CompareError> {
    for (report, name) in [(before, "first"), (after, "second")] {
        if !report.valid {
            return Err(CompareError::Invalid(name));
        }
    }
    let (a, b) = (&before.load, &after.load);
    for (same, name) in [
        (a.workload == b.workload, "workload"),
        (a.sizes == b.sizes, "size"),
        (a.rollups == b.rollups, "rollups"),
        (a.schedule == b.schedule, "schedule"),
    ] {
        if !same {
            return Err(CompareError::Load(name));
        }
    }
    let lower_is_better = |name, before: f64, after: f64| Difference {
        name,
        before,
        after,
        worse_by: ratio(after, before) - 1.0,
    };
    let higher_is_better = |name, before: f64, after: f64| Difference {
        name,
        before,
        after,
        worse_by: 1.0 - ratio(after, before),
    };
    let ms = |us: u64| us as f64 / 1e3;
    let mut differences = vec![
        higher_is_better("ordered/s", before.goodput, after.goodput),
        lower_is_better(
            "p50 ms",
            ms(before.ordered.p50_us),
            ms(after.ordered.p50_us),
        ),
        lower_is_better(
            "p99 ms",
            ms(before.ordered.p99_us),
            ms(after.ordered.p99_us),
        ),
    ];
    let cpu = |report: &Report| report.cost.all_cpu_us_per_tx;
    if let (Some(before), Some(after)) = (cpu(before), cpu(after)) {
        differences.push(lower_is_better("CPU µs per tx", before, after));
    }
    Ok(differences)
}

/// A figure against one that is zero is infinitely worse, unless both are.
fn ratio(a: f64, b: f64) -> f64 {
    if a == b { 1.0 } else { a / b }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(goodput: f64, p50_us: u64, cpu: Option<f64>) -> Report {
        let mut report = Report {
            valid: true,
            goodput,
            ..Report::default()
        };
        report.ordered.p50_us = p50_us;
        report.cost.all_cpu_us_per_tx = cpu;
        report
    }

    #[test]
    fn worse_means_slower_later_or_dearer() {
        let before = report(1_000.0, 20_000, Some(20.0));
        let after = report(850.0, 18_000, Some(23.0));
        let differences = compare(&before, &after).unwrap();
        let worse: Vec<_> = differences
            .iter()
            .map(|d| (d.name, (d.worse_by * 100.0).round()))
            .collect();
        let expected = [
            ("ordered/s", 15.0),
            ("p50 ms", -10.0),
            ("p99 ms", 0.0),
            ("CPU µs per tx", 15.0),
        ];
        assert_eq!(worse, expected);
    }

    #[test]
    fn only_like_and_valid_runs_are_compared() {
        let good = report(1.0, 1, None);
        let invalid = Report::default();
        let error = compare(&good, &invalid);
        assert_eq!(error, Err(CompareError::Invalid("second")));
        let mut other = good.clone();
        other.load.sizes = "1024".into();
        assert_eq!(compare(&good, &other), Err(CompareError::Load("size")));
        assert_eq!(compare(&good, &good).unwrap().len(), 3);
    }
}
