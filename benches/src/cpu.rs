//! CPU time of the process and of single threads. Linux only: reads `/proc/self/task`.

use rustix::process::Pid;
use rustix::time::{ClockId, Timespec, clock_gettime};
use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

fn duration(time: Timespec) -> Duration {
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

/// CPU time of all threads of this process, ended ones included.
#[must_use]
pub fn process() -> Duration {
    duration(clock_gettime(ClockId::ProcessCPUTime))
}

/// CPU time of the calling thread.
#[must_use]
pub fn thread() -> Duration {
    duration(clock_gettime(ClockId::ThreadCPUTime))
}

/// Ids of the threads of this process, ascending; empty where `/proc` is missing.
#[must_use]
pub fn thread_ids() -> BTreeSet<i32> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten();
    tasks
        .filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

/// CPU time of one thread of this process; zero if it has ended.
#[must_use]
pub fn of_thread(id: i32) -> Duration {
    let line = fs::read_to_string(format!("/proc/self/task/{id}/schedstat")).unwrap_or_default();
    let nanos = line.split(' ').next().and_then(|field| field.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}

/// Lets all other threads go before this one.
///
/// # Errors
/// The thread has ended, or the system refuses.
pub fn yield_to_others(id: i32) -> std::io::Result<()> {
    rustix::process::setpriority_process(Pid::from_raw(id), 19)?;
    Ok(())
}
