//! What the processes under test cost, read from `/proc` (Linux).

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;

/// Clock ticks per second in `/proc/<pid>/stat`. Linux fixes this figure (`USER_HZ`) for its ABI on
/// every architecture that we build for.
const TICKS_PER_SECOND: u64 = 100;

/// Processor time and peak memory of one process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// User and system time together, in microseconds; steps of 10 ms.
    pub cpu_us: u64,
    /// Largest resident set since the process started, in bytes.
    pub rss_bytes_max: u64,
}

/// Reads a process. `None` if it is gone, or this is no Linux.
#[must_use]
pub fn usage(pid: u32) -> Option<Usage> {
    let folder = Path::new("/proc").join(pid.to_string());
    let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
    let status = std::fs::read_to_string(folder.join("status")).ok()?;
    Some(Usage {
        cpu_us: cpu_ticks(&stat)? * (1_000_000 / TICKS_PER_SECOND),
        rss_bytes_max: peak_bytes(&status)?,
    })
}

/// Fields 14 and 15 (utime, stime). The second field is the program's name in parentheses and may hold
/// spaces, so counting starts behind the last parenthesis.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn peak_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024)
}

/// Processor time of several processes over a span, robust against restarts in between.
#[derive(Clone, Debug)]
pub struct Meter {
    processes: Vec<(u32, Option<Usage>)>,
}

impl Meter {
    /// Takes the first reading.
    #[must_use]
    pub fn start(pids: &[u32]) -> Self {
        let processes = pids.iter().map(|pid| (*pid, usage(*pid))).collect();
        Self { processes }
    }

    /// Usage of each process since the start; `None` where a reading failed.
    #[must_use]
    pub fn read(&self) -> Vec<(u32, Option<Usage>)> {
        let since = |pid: u32, first: Option<Usage>| {
            let (first, now) = (first?, usage(pid)?);
            Some(Usage {
                cpu_us: now.cpu_us.saturating_sub(first.cpu_us),
                ..now
            })
        };
        self.processes
            .iter()
            .map(|(pid, first)| (*pid, since(*pid, *first)))
            .collect()
    }
}

/// Process ids in the description that `squad localnet` writes: every number called `pid`.
#[must_use]
pub fn pids_in(description: &Value) -> Vec<u32> {
    let mut pids = Vec::new();
    collect_pids(description, &mut pids);
    pids
}

fn collect_pids(value: &Value, out: &mut Vec<u32>) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                match inner.as_u64().and_then(|n| u32::try_from(n).ok()) {
                    Some(pid) if key == "pid" => out.push(pid),
                    _ => collect_pids(inner, out),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_pids(item, out)),
        _ => {}
    }
}

/// The machine, for the report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Processor model.
    pub cpu: String,
    /// Processors that this process may use.
    pub cores: usize,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Kernel release.
    pub kernel: String,
}

impl Machine {
    /// Describes this machine; what can't be read stays empty.
    #[must_use]
    pub fn here() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let after = |text: &str, key: &str| {
            let line = text.lines().find(|line| line.starts_with(key));
            line.and_then(|line| line.split_once(':'))
                .map_or_else(String::new, |(_, value)| value.trim().to_owned())
        };
        let memory = after(&read("/proc/meminfo"), "MemTotal");
        let kib = memory.trim_end_matches("kB").trim().parse().unwrap_or(0);
        Self {
            cpu: after(&read("/proc/cpuinfo"), "model name"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: kib * 1_024_u64,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "42 (squad (op 1) x) S 1 42 42 0 -1 4194560 999 0 0 0 731 269 0 0 20 0 9 0 55";
        assert_eq!(cpu_ticks(stat), Some(1_000));
        assert_eq!(cpu_ticks("42 (squad) S 1"), None);
    }

    #[test]
    fn the_peak_is_read_in_bytes() {
        let status = "Name:\tsquad\nVmPeak:\t  900 kB\nVmHWM:\t  1024 kB\nVmRSS:\t 512 kB\n";
        assert_eq!(peak_bytes(status), Some(1 << 20));
    }

    #[test]
    fn pids_are_found_wherever_they_stand() {
        let text = r#"{"nodes":[{"pid":11,"grpc":"x"},{"process":{"pid":12}}],"pid":"no"}"#;
        assert_eq!(pids_in(&serde_json::from_str(text).unwrap()), [11, 12]);
    }
}
