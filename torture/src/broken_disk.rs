//! Episodes with damaged data and full disks.
//!
//! Damage may show at the start of an operator, or long after it, when RocksDB reads or merges the file;
//! then the operator ends itself. Who has lost part of its database removes it, as the operator guide says:
//! all of it can be made again from batches, safety records and other operators. Safety records and batches
//! can't, so an undamaged copy stands for the operator that would have to be replaced. A flipped bit that
//! was not noticed by the end of the episode is flipped back.

use crate::damage;
use crate::episode::{END_TIMEOUT, Runner};
use crate::network::Limits;
use crate::report::EpisodeReport;
use anyhow::Context as _;
use rand::RngExt as _;
use rand::rngs::StdRng;
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Exit codes with which a node may refuse damaged data: storage, safety.
const REFUSALS: [i32; 2] = [6, 7];
/// Longest time in which a database is made again: of all blocks since the run began.
const REBUILD_TIMEOUT: Duration = Duration::from_secs(600);
/// The part of the data directory that can be made again.
const DATABASE: &str = "db";
/// Logs in the data directory.
const LOGS: [&str; 3] = [DATABASE, "safety", "bodies"];

/// What happens to a file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Damage {
    /// Its end is cut off.
    Tail,
    /// One of its bits is flipped.
    Bit,
}

/// A bit that was flipped in the data of an operator that runs.
#[derive(Debug)]
pub(crate) struct Flipped {
    node: usize,
    path: PathBuf,
    bit: damage::Bit,
}

impl Runner {
    /// Damages the data of a killed operator. It may start with what is intact, if nothing is missing that
    /// it signed with, or refuse.
    pub(crate) async fn damage(
        &mut self,
        node: usize,
        damage: Damage,
        rng: &mut StdRng,
        report: &mut EpisodeReport,
    ) -> anyhow::Result<()> {
        self.network.operators[node].kill()?;
        report.kills += 1;
        let data = self.network.operators[node].data();
        let copy = self.directory.join("undamaged");
        damage::copy_directory(&data, &copy)?;
        let (path, bit, what) = match damage {
            Damage::Tail => {
                let log = LOGS[rng.random_range(0..LOGS.len())];
                let path = damage::newest(&data.join(log), &["log", "seg"])?;
                let path = path.with_context(|| format!("{log}: no log file"))?;
                let cut = damage::cut_tail(&path, rng)?;
                let what = format!("{cut} bytes off {}", name(&path, &data));
                (path, None, what)
            }
            Damage::Bit => {
                let mut files = damage::files(&data)?;
                let path = files.swap_remove(rng.random_range(0..files.len()));
                let bit = damage::flip_bit(&path, rng)?;
                let what = format!("byte {} of {}", bit.offset, name(&path, &data));
                (path, Some(bit), what)
            }
        };
        self.network.start(node, Limits::default())?;
        let end = self.network.operators[node].wait_end(END_TIMEOUT / 4);
        match end.await? {
            None => {
                report.note(format!("{what}: started"));
                self.flipped = bit.map(|bit| Flipped { node, path, bit });
            }
            Some(status) => {
                if !status.code().is_some_and(|code| REFUSALS.contains(&code)) {
                    report.violation(format!("{what}: ended with {status}"));
                }
                let remedy = if path.starts_with(data.join(DATABASE)) {
                    std::fs::remove_dir_all(data.join(DATABASE))?;
                    self.patience = REBUILD_TIMEOUT;
                    "database made again"
                } else {
                    std::fs::remove_dir_all(&data)?;
                    std::fs::rename(&copy, &data)?;
                    "copy restored"
                };
                report.note(format!("{what}: refused ({status}), {remedy}"));
                self.network.start(node, Limits::default())?;
            }
        }
        if copy.exists() {
            std::fs::remove_dir_all(&copy)?;
        }
        Ok(())
    }

    /// Whether an operator that runs with a flipped bit has noticed it and ended. Then it runs again.
    pub(crate) fn noticed_late(&mut self, report: &mut EpisodeReport) -> anyhow::Result<bool> {
        let Some(flipped) = &self.flipped else {
            return Ok(false);
        };
        let operator = &mut self.network.operators[flipped.node];
        let Some(status) = operator.ended()? else {
            return Ok(false);
        };
        if !status.code().is_some_and(|code| REFUSALS.contains(&code)) {
            return Ok(false);
        }
        let database = operator.data().join(DATABASE);
        if flipped.path.starts_with(&database) {
            std::fs::remove_dir_all(&database)?;
            report.note(format!("noticed later ({status}), database made again"));
            let node = flipped.node;
            self.flipped = None;
            self.patience = REBUILD_TIMEOUT;
            self.network.start(node, Limits::default())?;
            return Ok(true);
        }
        report.note(format!("noticed later ({status}), flipped back"));
        self.mend()
    }

    /// Flips a bit back that an operator runs with. Whether there was one; the operator is then on its way.
    pub(crate) fn mend(&mut self) -> anyhow::Result<bool> {
        let Some(Flipped { node, path, bit }) = self.flipped.take() else {
            return Ok(false);
        };
        self.network.operators[node].kill()?;
        bit.flip_back(&path)?;
        self.network.start(node, Limits::default())?;
        Ok(true)
    }

    /// Restarts an operator whose files can't grow, until it ends.
    pub(crate) async fn disk_full(
        &mut self,
        node: usize,
        file_kib: u64,
        report: &mut EpisodeReport,
    ) -> anyhow::Result<()> {
        let operator = &mut self.network.operators[node];
        operator.signal(Signal::TERM)?;
        if operator.wait_end(END_TIMEOUT).await?.is_none() {
            report.violation(format!("operator {node} ignores SIGTERM"));
            operator.kill()?;
        }
        let limits = Limits {
            file_kib: Some(file_kib),
        };
        self.network.start(node, limits)?;
        match self.network.operators[node].wait_end(END_TIMEOUT).await? {
            Some(status) if status.code() == Some(REFUSALS[0]) => {
                report.note(format!("files of at most {file_kib} KiB: ended ({status})"));
            }
            Some(status) => report.violation(format!("full disk: ended with {status}")),
            None => {
                report.note(format!("files of at most {file_kib} KiB: not reached"));
                self.network.operators[node].kill()?;
            }
        }
        report.restarts += 1;
        self.network.start(node, Limits::default())
    }
}

fn name(path: &Path, root: &Path) -> String {
    path.strip_prefix(root)
        .unwrap_or(path)
        .display()
        .to_string()
}
