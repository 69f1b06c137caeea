//! The live view: a table on a terminal, a line elsewhere.

use super::watch::NodeView;
use std::time::Duration;

fn millis(value: Option<u64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value} ms"))
}

fn number(value: Option<u64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn state(view: &NodeView) -> &'static str {
    match (view.answers, view.syncing) {
        (false, _) => "down",
        (true, true) => "catching up",
        (true, false) => "up",
    }
}

/// The table of all operators; a line each.
#[must_use]
pub fn table(views: &[NodeView], elapsed: Duration, agree: bool) -> String {
    let mut out = format!(
        "{:>4}  {:>9}  {:>5}  {:>9}  {:>9}  {:>8}  {:>8}  {:>7}  {:>5}  state\n",
        "node", "height", "lag", "not final", "tx/s", "p50", "p99", "queued", "peers"
    );
    for (index, view) in views.iter().enumerate() {
        out.push_str(&format!(
            "{index:>4}  {:>9}  {:>5}  {:>9}  {:>9}  {:>8}  {:>8}  {:>7}  {:>5}  {}\n",
            view.height,
            view.lag,
            number(view.final_lag),
            view.rate,
            millis(view.p50_ms),
            millis(view.p99_ms),
            view.queued,
            number(view.peers.map(|peers| peers as u64)),
            state(view),
        ));
    }
    out.push_str(&format!("{} s, {}\n", elapsed.as_secs(), agreement(agree)));
    out
}

/// One line for output that is no terminal.
#[must_use]
pub fn line(views: &[NodeView], elapsed: Duration, agree: bool) -> String {
    let best = views.iter().max_by_key(|view| view.height);
    let lags: Vec<_> = views
        .iter()
        .map(|view| match view.answers {
            true => view.lag.to_string(),
            false => "down".to_owned(),
        })
        .collect();
    let (height, rate, p50, p99) = best.map_or((0, 0, None, None), |view| {
        (view.height, view.rate, view.p50_ms, view.p99_ms)
    });
    format!(
        "{:>4} s  height {height}  {rate} tx/s  p50 {}  p99 {}  lag {}  {}",
        elapsed.as_secs(),
        millis(p50),
        millis(p99),
        lags.join(" "),
        agreement(agree)
    )
}

const fn agreement(agree: bool) -> &'static str {
    if agree {
        "all operators agree"
    } else {
        "OPERATORS DISAGREE"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_that_are_down_or_behind_are_told_apart() {
        let up = NodeView {
            height: 120,
            lag: 0,
            final_lag: Some(2),
            rate: 5_000,
            p50_ms: Some(12),
            p99_ms: Some(30),
            peers: Some(2),
            queued: 3,
            syncing: false,
            answers: true,
        };
        let behind = NodeView {
            height: 20,
            lag: 100,
            syncing: true,
            ..up.clone()
        };
        let down = NodeView {
            answers: false,
            peers: None,
            p50_ms: None,
            ..behind.clone()
        };
        let views = [up, behind, down];
        let text = line(&views, Duration::from_secs(7), true);
        assert_eq!(
            text,
            "   7 s  height 120  5000 tx/s  p50 12 ms  p99 30 ms  lag 0 100 down  all operators agree"
        );
        let text = table(&views, Duration::from_secs(7), false);
        let states: Vec<_> = text
            .lines()
            .skip(1)
            .take(3)
            .filter_map(|line| line.rsplit("  ").next())
            .collect();
        assert_eq!(states, ["up", "catching up", "down"], "{text}");
        assert!(text.ends_with("7 s, OPERATORS DISAGREE\n"));
    }
}
