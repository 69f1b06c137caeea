//! One row per second: for the log, and as a line on the terminal.

use super::tracker::{Counts, Tracker};
use serde::{Deserialize, Serialize};
use std::io::{IsTerminal, Write};

/// What happened in one second of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Seconds since the start, at the end of this one.
    pub second: u64,
    /// Sent.
    pub sent: u64,
    /// Due while no connection had room.
    pub dropped: u64,
    /// Accepted.
    pub accepted: u64,
    /// Refused, and errors of connections.
    pub errors: u64,
    /// Seen in blocks.
    pub ordered: u64,
    /// Sent and not seen in a block, at the end of the second.
    pub in_flight: u64,
    /// Intended time to ordered, of those seen in this second; microseconds.
    pub p50_us: u64,
    /// As `p50_us`, 99th percentile.
    pub p99_us: u64,
    /// Processor time of the generator in this second, in microseconds.
    pub own_cpu_us: u64,
    /// Processor time of the operators in this second, in microseconds.
    pub operators_cpu_us: u64,
    /// Height of the last block seen.
    pub height: u64,
}

/// Names of the log's columns.
pub const CSV_HEADER: &str = "second,sent,dropped,accepted,errors,ordered,in_flight,p50_us,p99_us,\
own_cpu_us,operators_cpu_us,height";

impl Row {
    /// One line of the log.
    #[must_use]
    pub fn to_csv(&self) -> String {
        [
            self.second,
            self.sent,
            self.dropped,
            self.accepted,
            self.errors,
            self.ordered,
            self.in_flight,
            self.p50_us,
            self.p99_us,
            self.own_cpu_us,
            self.operators_cpu_us,
            self.height,
        ]
        .map(|number| number.to_string())
        .join(",")
    }
}

/// Turns running totals into rows.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    before: Counts,
    cpu_before: (u64, u64),
    rows: Vec<Row>,
}

impl Rows {
    /// Closes a second. `cpu_us` is the generator's and the operators' time since the start.
    pub(crate) fn close(
        &mut self,
        second: u64,
        tracker: &mut Tracker,
        cpu_us: (u64, u64),
        height: u64,
    ) -> &Row {
        let counts = tracker.counts().clone();
        let sum = |counts: &Counts| counts.errors.values().sum::<u64>();
        let before = &self.before;
        let row = Row {
            second,
            sent: counts.sent.saturating_sub(before.sent),
            dropped: counts.dropped - before.dropped,
            accepted: counts.accepted - before.accepted,
            errors: sum(&counts) - sum(before),
            ordered: counts.ordered - before.ordered,
            in_flight: (counts.sent - counts.refused).saturating_sub(counts.ordered),
            p50_us: tracker.second.quantile(0.5),
            p99_us: tracker.second.quantile(0.99),
            own_cpu_us: cpu_us.0.saturating_sub(self.cpu_before.0),
            operators_cpu_us: cpu_us.1.saturating_sub(self.cpu_before.1),
            height,
        };
        tracker.second.clear();
        self.before = counts;
        self.cpu_before = cpu_us;
        self.rows.push(row);
        &self.rows[self.rows.len() - 1]
    }

    pub(crate) fn into_rows(self) -> Vec<Row> {
        self.rows
    }
}

/// Seconds between lines where there is no terminal to redraw.
const PLAIN_INTERVAL_S: u64 = 10;

/// Shows a row: redrawn in place on a terminal, every tenth one elsewhere.
pub(crate) fn show(row: &Row, seconds: u64) {
    let mut err = std::io::stderr().lock();
    let terminal = err.is_terminal();
    if !terminal && !row.second.is_multiple_of(PLAIN_INTERVAL_S) {
        return;
    }
    const WIDTH: u64 = 20;
    let filled = (row.second.min(seconds) * WIDTH / seconds.max(1)) as usize;
    let bar = format!("{:░<width$}", "█".repeat(filled), width = WIDTH as usize);
    let line = format!(
        "{bar} {:>4}/{seconds} s  sent {:>6}/s  ordered {:>6}/s  p50 {:>5.1} ms  p99 {:>6.1} ms  \
         in flight {:>6}  dropped {}  errors {}",
        row.second,
        row.sent,
        row.ordered,
        row.p50_us as f64 / 1e3,
        row.p99_us as f64 / 1e3,
        row.in_flight,
        row.dropped,
        row.errors,
    );
    // A closed terminal must not end the run.
    match terminal {
        true => write!(err, "\r\x1b[2K{line}")
            .and_then(|()| err.flush())
            .ok(),
        false => writeln!(err, "{line}").ok(),
    };
}

/// Leaves the redrawn line.
pub(crate) fn finish() {
    let mut err = std::io::stderr().lock();
    if err.is_terminal() {
        writeln!(err).ok();
    }
}
