//! What `squad localnet up` says at its end.

use crate::cli::args::Format;
use crate::cli::exit::{Code, Failure, Outcome};
use crate::cli::output;
use crate::localnet::{Audit, RunningLoad, WatchSummary};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

/// What ended the watching.
#[derive(Debug)]
pub(super) enum End {
    /// A signal.
    Asked,
    /// The load generator.
    Load(ExitStatus),
    /// No operator is left.
    AllDown,
}

/// What was seen while the network ran.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) end: End,
    pub(super) summary: WatchSummary,
    pub(super) audited: Outcome<Audit>,
    pub(super) load: Option<RunningLoad>,
}

/// What a run has shown.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) watched: Watched,
    pub(super) killed: usize,
    pub(super) elapsed: Duration,
}

impl Seen {
    /// Prints it, and fails if something was wrong; the data is kept then. Returns whether it is kept.
    pub(super) fn report(self, format: Format, keep: bool, directory: &Path) -> Outcome<bool> {
        let failure = self.failure();
        let keep = keep || failure.is_some();
        let reports = self.watched.load.as_ref().map(|load| load.reports.clone());
        let json = json!({
            "seconds": self.elapsed.as_secs(),
            "height": self.watched.summary.height,
            "transactions": self.watched.summary.transactions,
            "block_latency_p50_ms": self.watched.summary.p50_ms,
            "block_latency_p99_ms": self.watched.summary.p99_ms,
            "agree": failure.as_ref().is_none_or(|failure| failure.code != Code::Verification),
            "audited_height": self.watched.audited.as_ref().ok().map(|audit| audit.height),
            "audited_operators": self.watched.audited.as_ref().ok().map(|audit| audit.operators),
            "killed": self.killed,
            "reports": reports,
            "kept": keep,
        });
        output::print(format, &self.text(directory, reports, keep), &json)?;
        failure.map_or(Ok(keep), Err)
    }

    fn failure(&self) -> Option<Failure> {
        if let Some(height) = self.watched.summary.disagreement {
            return Some(Failure::new(
                Code::Verification,
                format!("operators hold different blocks at height {height}"),
            ));
        }
        match (&self.watched.audited, &self.watched.end) {
            (_, End::AllDown) => Some(Failure::new(Code::Other, "no operator is left")),
            (Err(failure), _) => Some(Failure::new(failure.code, failure)),
            (_, End::Load(status)) if !status.success() => Some(Failure::new(
                Code::Other,
                format!("the load generator ended: {status}"),
            )),
            _ if self.killed > 0 => Some(Failure::new(
                Code::Other,
                format!(
                    "{} operators did not stop in time and were killed",
                    self.killed
                ),
            )),
            _ => None,
        }
    }

    fn text(&self, directory: &Path, reports: Option<PathBuf>, keep: bool) -> String {
        let mut out = String::from("\n");
        if let Some(load) = &self.watched.load {
            out.push_str(&load.output().unwrap_or_default());
            out.push('\n');
        }
        let millis = |value: Option<u64>| value.map_or("-".to_owned(), |ms| format!("{ms} ms"));
        out.push_str(&format!(
            "seen in {} s: {} transactions ordered, up to block {}; proposal to delivery p50 {}, p99 {}\n",
            self.elapsed.as_secs(),
            self.watched.summary.transactions,
            self.watched.summary.height,
            millis(self.watched.summary.p50_ms),
            millis(self.watched.summary.p99_ms),
        ));
        match &self.watched.audited {
            Ok(audit) => out.push_str(&format!(
                "check: {} operators hold the same chain up to block {}\n",
                audit.operators, audit.height
            )),
            Err(failure) => out.push_str(&format!("check failed: {failure}\n")),
        }
        if keep {
            out.push_str(&format!("data and logs: {}\n", directory.display()));
            if let Some(reports) = reports {
                out.push_str(&format!("load report: {}\n", reports.display()));
            }
        }
        out.push_str(
            "\nnext:\n  \
             squad localnet up --detach              a network that stays\n  \
             squad localnet up --load 20000          more load\n  \
             squad localnet kill 1                   a crash, while it runs\n  \
             squad localnet up --load 5000 --keep    keep logs and the load report\n",
        );
        out
    }
}
