//! Memory and processor time of the operators' processes (Linux).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

/// Distance between two readings.
const INTERVAL: Duration = Duration::from_millis(500);

/// Reads the resident memory of processes until it is dropped.
#[derive(Debug)]
pub struct MemoryWatch {
    series: Arc<Mutex<Vec<Vec<u64>>>>,
    task: JoinHandle<()>,
}

impl MemoryWatch {
    /// Starts; all processes are running.
    #[must_use]
    pub fn start(pids: Vec<i32>) -> Self {
        let series = Arc::new(Mutex::new(vec![Vec::new(); pids.len()]));
        let shared = series.clone();
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(INTERVAL);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let mut all = shared.lock().unwrap_or_else(PoisonError::into_inner);
                for (pid, series) in pids.iter().zip(all.iter_mut()) {
                    // A process that is gone has no reading; whoever started it reports that.
                    series.extend(resident(*pid));
                }
            }
        });
        Self { series, task }
    }

    /// Readings of each process so far, in bytes, every half second.
    #[must_use]
    pub fn readings(&self) -> Vec<Vec<u64>> {
        let series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        series.clone()
    }
}

impl Drop for MemoryWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Resident memory of a process now, in bytes.
#[must_use]
pub fn resident(pid: i32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim_end_matches("kB").trim().parse().ok()?;
    Some(kib << 10)
}

/// Clock ticks per second in `/proc/<pid>/stat`, fixed by Linux for its ABI.
const TICKS_PER_SECOND: u64 = 100;

/// Processor time of a process so far, of all its threads, in steps of 10 ms.
#[must_use]
pub fn cpu(pid: i32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold spaces. Behind it utime and stime are the 12th and 13th field.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis(
        (user + system) * 1_000 / TICKS_PER_SECOND,
    ))
}

/// How much the second half of a series rises, in bytes: the slope of its least-squares line, times its
/// length. Single peaks hardly count; steady growth does.
#[must_use]
pub fn rise(series: &[u64]) -> f64 {
    let half = &series[series.len() / 2..];
    let count = half.len() as f64;
    if half.len() < 2 {
        return 0.0;
    }
    let mean_at = (count - 1.0) / 2.0;
    let mean = half.iter().sum::<u64>() as f64 / count;
    let (mut both, mut squares) = (0.0, 0.0);
    for (at, value) in half.iter().enumerate() {
        let offset = at as f64 - mean_at;
        both += offset * (*value as f64 - mean);
        squares += offset * offset;
    }
    both / squares * (count - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rise_is_that_of_the_second_half() {
        let warming: Vec<u64> = (0..100).map(|at| at.min(50) * 10).collect();
        assert!(rise(&warming).abs() < 11.0, "{}", rise(&warming));
        let growing: Vec<u64> = (0..100).map(|at| at * 10).collect();
        assert!((rise(&growing) - 490.0).abs() < 1e-6);
        let mut spiky = vec![1_000; 100];
        spiky[75] = 2_000;
        assert!(rise(&spiky).abs() < 100.0);
        assert!(rise(&[]).abs() < 1e-9);
    }

    #[test]
    fn the_own_memory_can_be_read() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(resident(own).is_some_and(|bytes| bytes > 1 << 20));
        assert_eq!(resident(-1), None);
        assert!(cpu(own).is_some());
        assert_eq!(cpu(-1), None);
    }
}
