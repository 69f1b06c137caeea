//! What happens to packets between two operators.

use rand::{Rng, RngExt as _};
use std::time::Duration;

/// Rule for one direction of one pair.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Link {
    /// Nothing passes.
    pub cut: bool,
    /// One-way delay.
    pub delay: Duration,
    /// Up to this much more delay, drawn per packet; reorders packets where it exceeds their distance.
    pub jitter: Duration,
    /// Share of packets that are lost, 0 to 1.
    pub loss: f64,
    /// Share of packets that arrive twice, 0 to 1.
    pub duplicate: f64,
}

impl Link {
    /// Delays after which copies of a packet arrive; none if it is lost.
    pub fn pass<R: Rng>(&self, rng: &mut R) -> impl Iterator<Item = Duration> + use<R> {
        let copies = match self.cut || rng.random_bool(self.loss) {
            true => 0,
            false => 1 + usize::from(rng.random_bool(self.duplicate)),
        };
        let mut delays = [Duration::ZERO; 2];
        for delay in &mut delays {
            *delay = self.delay + self.jitter.mul_f64(rng.random::<f64>());
        }
        delays.into_iter().take(copies)
    }
}

/// Rules for all pairs of operators.
#[derive(Clone, Debug)]
pub struct Weather {
    operators: usize,
    links: Vec<Link>,
}

impl Weather {
    /// Links without faults between so many operators.
    #[must_use]
    pub fn calm(operators: usize) -> Self {
        Self {
            operators,
            links: vec![Link::default(); operators * operators],
        }
    }

    /// The rule from one operator to another.
    #[must_use]
    pub fn link(&self, from: usize, to: usize) -> Link {
        self.links
            .get(from * self.operators + to)
            .copied()
            .unwrap_or_default()
    }

    /// Sets the rule of every pair for which `rule` has one.
    pub fn set(&mut self, rule: impl Fn(usize, usize) -> Option<Link>) {
        for from in 0..self.operators {
            for to in 0..self.operators {
                if let Some(link) = rule(from, to) {
                    self.links[from * self.operators + to] = link;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng as _, rngs::StdRng};

    const PACKETS: usize = 100_000;

    #[test]
    fn shares_and_delays_are_those_of_the_rule() {
        let link = Link {
            delay: Duration::from_millis(50),
            jitter: Duration::from_millis(10),
            loss: 0.05,
            duplicate: 0.02,
            ..Link::default()
        };
        let mut rng = StdRng::seed_from_u64(1);
        let passed: Vec<Vec<Duration>> = (0..PACKETS)
            .map(|_| link.pass(&mut rng).collect())
            .collect();
        let share = |copies: usize| {
            let count = passed
                .iter()
                .filter(|delays| delays.len() == copies)
                .count();
            count as f64 / PACKETS as f64
        };
        assert!((0.045..0.055).contains(&share(0)), "{}", share(0));
        assert!((0.015..0.023).contains(&share(2)), "{}", share(2));
        let (least, most) = (Duration::from_millis(50), Duration::from_millis(60));
        let all = || passed.iter().flatten();
        assert!(all().all(|delay| (least..=most).contains(delay)));
        assert!(all().max() > Some(&Duration::from_millis(59)));
    }

    #[test]
    fn a_cut_link_passes_nothing_in_its_direction_only() {
        let mut weather = Weather::calm(3);
        weather.set(|from, to| {
            (from == 0 && to == 2).then_some(Link {
                cut: true,
                ..Link::default()
            })
        });
        let mut rng = StdRng::seed_from_u64(1);
        assert_eq!(weather.link(0, 2).pass(&mut rng).count(), 0);
        assert_eq!(weather.link(2, 0).pass(&mut rng).count(), 1);
    }
}
