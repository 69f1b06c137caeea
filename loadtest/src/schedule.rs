//! When each transaction is meant to be sent.
//!
//! A [`Schedule`] is fixed before the run starts and depends on nothing that happens in it (open loop).
//! Times are whole microseconds since the start; latency is counted from them, so a generator or network
//! that falls behind shows up as latency instead of disappearing (no coordinated omission).

use crate::rng::SplitMix64;
use std::time::Duration;

/// How the rate develops.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// Equal distances: transaction i at `i / rate`.
    Constant {
        /// Transactions per second.
        rate: u64,
        /// How long.
        duration: Duration,
    },
    /// Independent exponential distances, as many unrelated users produce.
    Poisson {
        /// Mean transactions per second.
        rate: u64,
        /// How long.
        duration: Duration,
    },
    /// Constant rates one after another.
    Steps(Vec<(u64, Duration)>),
    /// A rate that changes linearly.
    Ramp {
        /// Transactions per second at the start.
        from: u64,
        /// Transactions per second at the end.
        to: u64,
        /// How long.
        duration: Duration,
    },
}

/// Why a shape is no schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// Longer than [`DURATION_MAX`], or nothing at all.
    #[error("duration: {0:?}, must be above zero and at most {DURATION_MAX:?}")]
    Duration(Duration),
    /// No transaction would be sent.
    #[error("rate: no transaction falls into the duration")]
    Empty,
    /// More than [`TRANSACTIONS_MAX`] transactions.
    #[error("rate: {0} transactions, must be at most {TRANSACTIONS_MAX}")]
    TooMany(u64),
}

/// Longest run: microseconds must fit 32 bits, which halves the generator's memory.
pub const DURATION_MAX: Duration = Duration::from_secs(3_600);

/// Most transactions of one run; each costs about forty bytes of memory.
pub const TRANSACTIONS_MAX: u64 = 200_000_000;

/// Intended send times, ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    times_us: Vec<u32>,
    duration: Duration,
}

impl Schedule {
    /// Lays the shape out. `seed` matters for [`Shape::Poisson`] only.
    ///
    /// # Errors
    /// See [`ScheduleError`].
    pub fn new(shape: &Shape, seed: u64) -> Result<Self, ScheduleError> {
        let duration = shape.duration();
        if duration.is_zero() || duration > DURATION_MAX {
            return Err(ScheduleError::Duration(duration));
        }
        let expected = shape.expected_count();
        if expected > TRANSACTIONS_MAX {
            return Err(ScheduleError::TooMany(expected));
        }
        let times_us = match shape {
            Shape::Constant { rate, duration } => constant(*rate, 0, micros(*duration)),
            Shape::Steps(steps) => {
                let mut times = Vec::new();
                let mut start = 0;
                for (rate, duration) in steps {
                    let end = start + micros(*duration);
                    times.extend(constant(*rate, start, end));
                    start = end;
                }
                times
            }
            Shape::Poisson { rate, duration } => poisson(*rate, micros(*duration), seed),
            Shape::Ramp { from, to, duration } => ramp(*from, *to, micros(*duration)),
        };
        match times_us.is_empty() {
            true => Err(ScheduleError::Empty),
            false => Ok(Self { times_us, duration }),
        }
    }

    /// Intended times in microseconds since the start, ascending.
    #[must_use]
    pub fn times_us(&self) -> &[u32] {
        &self.times_us
    }

    /// Keeps the first `count` transactions; the duration then ends with the last of them.
    pub fn truncate(&mut self, count: usize) {
        if let Some(end) = self.times_us.get(count) {
            self.duration = Duration::from_micros((*end).max(1).into());
            self.times_us.truncate(count.max(1));
        }
    }

    /// Number of transactions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.times_us.len()
    }

    /// Whether nothing is to be sent; never true.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.times_us.is_empty()
    }

    /// Length of the run.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.duration
    }

    /// Mean rate in transactions per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.len() as f64 / self.duration.as_secs_f64()
    }
}

impl Shape {
    fn duration(&self) -> Duration {
        match self {
            Self::Constant { duration, .. }
            | Self::Poisson { duration, .. }
            | Self::Ramp { duration, .. } => *duration,
            Self::Steps(steps) => steps
                .iter()
                .fold(Duration::ZERO, |sum, (_, d)| sum.saturating_add(*d)),
        }
    }

    fn expected_count(&self) -> u64 {
        let count = |rate: u64, duration: Duration| {
            let exact = u128::from(rate) * duration.as_micros() / 1_000_000;
            u64::try_from(exact).unwrap_or(u64::MAX)
        };
        match self {
            Self::Constant { rate, duration } | Self::Poisson { rate, duration } => {
                count(*rate, *duration)
            }
            Self::Steps(steps) => steps
                .iter()
                .fold(0, |sum: u64, (r, d)| sum.saturating_add(count(*r, *d))),
            Self::Ramp { from, to, duration } => count(from.saturating_add(*to), *duration) / 2,
        }
    }
}

fn micros(duration: Duration) -> u64 {
    duration.as_micros() as u64 // at most DURATION_MAX
}

/// Every time of these lists is below DURATION_MAX, which fits.
fn narrow(time_us: u64) -> u32 {
    u32::try_from(time_us).unwrap_or(u32::MAX)
}

fn constant(rate: u64, start_us: u64, end_us: u64) -> Vec<u32> {
    let count = (u128::from(rate) * u128::from(end_us - start_us)).div_ceil(1_000_000) as u64;
    (0..count)
        .map(|i| start_us + (u128::from(i) * 1_000_000 / u128::from(rate)) as u64)
        .map(narrow)
        .collect()
}

fn poisson(rate: u64, duration_us: u64, seed: u64) -> Vec<u32> {
    let mut times = Vec::new();
    if rate == 0 {
        return times;
    }
    let mut rng = SplitMix64::new(seed);
    let mean_us = 1e6 / rate as f64;
    let mut at = -rng.unit().ln() * mean_us;
    while at < duration_us as f64 {
        times.push(narrow(at as u64));
        at -= rng.unit().ln() * mean_us;
    }
    times
}

/// Transaction i is due when the area under the rate reaches i: the root of
/// `slope / 2 * t^2 + from * t = i`, in the form that stays exact for a small slope.
fn ramp(from: u64, to: u64, duration_us: u64) -> Vec<u32> {
    let seconds = duration_us as f64 / 1e6;
    let (from, to) = (from as f64, to as f64);
    let slope = (to - from) / seconds;
    let count = ((from + to) / 2.0 * seconds).floor() as u64;
    (0..count)
        .map(|i| {
            let area = i as f64;
            let root = (from * from + 2.0 * slope * area).max(0.0).sqrt();
            let at = if i == 0 {
                0.0
            } else {
                2.0 * area / (from + root)
            };
            narrow(((at * 1e6) as u64).min(duration_us - 1))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn times(shape: &Shape) -> Vec<u32> {
        Schedule::new(shape, 1).unwrap().times_us().to_vec()
    }

    fn in_order(times: &[u32], end_us: u64) -> bool {
        times.is_sorted() && times.iter().all(|t| u64::from(*t) < end_us)
    }

    proptest! {
        #[test]
        fn a_constant_schedule_is_exact_to_the_microsecond(
            rate in 1_u64..200_000,
            millis in 1_u64..3_000,
        ) {
            let duration = Duration::from_millis(millis);
            let times = times(&Shape::Constant { rate, duration });
            prop_assert_eq!(times.len() as u64, (rate * millis).div_ceil(1_000));
            for (i, time) in times.iter().enumerate() {
                prop_assert_eq!(u64::from(*time), i as u64 * 1_000_000 / rate);
            }
            prop_assert!(in_order(&times, millis * 1_000));
        }

        #[test]
        fn a_ramp_sends_the_area_under_its_rate(
            from in 0_u64..20_000,
            to in 1_000_u64..20_000,
            millis in 1_000_u64..5_000,
        ) {
            let duration = Duration::from_millis(millis);
            let times = times(&Shape::Ramp { from, to, duration });
            let area = (from + to) * millis / 2_000;
            prop_assert!(times.len().abs_diff(area as usize) <= 1);
            prop_assert!(in_order(&times, millis * 1_000));
            let half = times.partition_point(|t| u64::from(*t) < millis * 500);
            let expected = (3 * from + to) as f64 * millis as f64 / 8_000.0;
            prop_assert!((half as f64 - expected).abs() <= 2.0);
        }

        #[test]
        fn steps_equal_their_parts(rates in prop::collection::vec(1_u64..5_000, 1..5)) {
            let step = Duration::from_millis(500);
            let steps = rates.iter().map(|rate| (*rate, step)).collect();
            let all = times(&Shape::Steps(steps));
            let parts: Vec<u32> = rates
                .iter()
                .enumerate()
                .flat_map(|(i, rate)| {
                    times(&Shape::Constant { rate: *rate, duration: step })
                        .into_iter()
                        .map(move |t| t + 500_000 * i as u32)
                })
                .collect();
            prop_assert_eq!(all, parts);
        }
    }

    #[test]
    fn poisson_has_the_mean_and_the_variance_of_its_rate() {
        let (rate, seconds) = (1_000, 400_u32);
        let shape = Shape::Poisson {
            rate,
            duration: Duration::from_secs(seconds.into()),
        };
        let times = times(&shape);
        assert!(in_order(&times, u64::from(seconds) * 1_000_000));
        let mut counts = vec![0_f64; seconds as usize];
        for time in &times {
            counts[(time / 1_000_000) as usize] += 1.0;
        }
        let mean = counts.iter().sum::<f64>() / f64::from(seconds);
        let variance = counts.iter().map(|c| (c - mean).powi(2)).sum::<f64>() / f64::from(seconds);
        assert!((mean - 1_000.0).abs() < 6.0, "mean {mean}");
        assert!((700.0..1_300.0).contains(&variance), "variance {variance}");
        assert_ne!(Schedule::new(&shape, 2).unwrap().times_us(), times);
    }

    #[test]
    fn limits_are_named() {
        let constant = |rate, duration| Schedule::new(&Shape::Constant { rate, duration }, 0);
        let hour = Duration::from_secs(3_600);
        assert_eq!(
            constant(1, hour + Duration::from_secs(1)),
            Err(ScheduleError::Duration(hour + Duration::from_secs(1)))
        );
        assert_eq!(
            constant(100_000, hour),
            Err(ScheduleError::TooMany(360_000_000))
        );
        assert_eq!(constant(0, hour), Err(ScheduleError::Empty));
        assert_eq!(
            constant(1, Duration::ZERO),
            Err(ScheduleError::Duration(Duration::ZERO))
        );
    }
}
