//! A report for people.

use super::Report;
use crate::measure::Summary;

impl Report {
    /// A few lines for people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let ms = |us: u64| us as f64 / 1e3;
        let line = |name: &str, s: &Summary| {
            format!(
                "  {name:<22} p50 {:>8.2}  p90 {:>8.2}  p99 {:>8.2}  p99.9 {:>8.2}  max {:>8.2} ms\n",
                ms(s.p50_us),
                ms(s.p90_us),
                ms(s.p99_us),
                ms(s.p999_us),
                ms(s.max_us)
            )
        };
        let c = &self.counts;
        let mut text = format!(
            "asked {:.0}/s, sent {:.0}/s, ordered {:.0}/s for {:.0} s, {} operators\n  \
             intended {}, sent {}, dropped {}, accepted {}, refused {}, unanswered {}, ordered {}\n",
            self.asked_rate,
            self.achieved_rate,
            self.goodput,
            self.load.duration_s,
            self.environment.operators,
            c.intended,
            c.sent,
            c.dropped,
            c.accepted,
            c.refused,
            c.unanswered,
            c.ordered
        );
        text += &line("intended to accepted", &self.accepted);
        text += &line("intended to ordered", &self.ordered);
        text += &line("sent to ordered", &self.service);
        if let Some(times) = &self.finality {
            text += &line("ordered to final", &times.after_order);
            text += &line("intended to final", &times.total);
            text += &format!("  certificates: {}\n", times.certificates);
        }
        text += &line("generator's own delay", &self.send_lag);
        for (reason, count) in &self.errors {
            text += &format!("  error {reason}: {count}\n");
        }
        text += &self.cost_text();
        if let Some(audit) = &self.audit {
            text += &format!(
                "  audit of heights {} to {} on {} operators: {} acknowledged, {} ordered once \
                 everywhere, {} expired with a reason{}{}{}\n",
                audit.first_height,
                audit.last_height,
                audit.operators,
                audit.acknowledged,
                audit.ordered,
                audit.excused,
                audit.payload_hashes.map_or_else(String::new, |count| {
                    format!(", {count} payloads with equal keccak256 hashes everywhere")
                }),
                if audit.verified {
                    ", certificates and roots checked"
                } else {
                    ""
                },
                if audit.is_clean() {
                    ", clean"
                } else {
                    ", NOT CLEAN"
                }
            );
        }
        for problem in &self.problems {
            text += &format!("  INVALID: {problem}\n");
        }
        text
    }

    fn cost_text(&self) -> String {
        let mib = |bytes: u64| format!("{:.0}", bytes as f64 / f64::from(1 << 20));
        let cost = &self.cost;
        let mut text = format!(
            "  generator: {:.2} µs of CPU per ordered transaction, {} MiB\n",
            cost.own_cpu_us_per_tx,
            mib(cost.own_rss_bytes_max)
        );
        if let (Some(all), Some(operators)) = (cost.all_cpu_us_per_tx, cost.operators_cpu_us_per_tx)
        {
            let memory: Vec<_> = cost
                .operators_rss_bytes_max
                .iter()
                .map(|b| mib(*b))
                .collect();
            text += &format!(
                "  operators: {operators:.2} µs of CPU per ordered transaction ({all:.2} with the \
                 generator), memory at most {} MiB\n",
                memory.join(", ")
            );
        }
        text
    }
}
