//! Starting, recognising and ending processes.

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use std::fs::OpenOptions;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::time::Instant;

/// How long processes get between SIGTERM and SIGKILL; a node promises to stop in this time.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A process that was started by us: its number alone may be given to another one later, together with
/// the start time it may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Number of the process.
    pub pid: i32,
    /// Its start in clock ticks since the machine's, from `/proc`.
    pub start_ticks: u64,
}

impl ProcessId {
    /// Notes the identity of a process that runs now.
    ///
    /// # Errors
    /// If it has ended and was collected.
    pub fn of(pid: i32) -> io::Result<Self> {
        let start_ticks = Stat::read(pid)?.start_ticks;
        Ok(Self { pid, start_ticks })
    }

    /// Whether the process is still there. A zombie, which only waits to be collected, is not.
    #[must_use]
    pub fn is_running(&self) -> bool {
        Stat::read(self.pid)
            .is_ok_and(|stat| stat.start_ticks == self.start_ticks && !stat.has_ended())
    }

    /// Sends a signal, if the process is still the one that was noted. The handle is opened before the
    /// check, so the number can't change hands in between.
    ///
    /// # Errors
    /// If the system refuses. A process that has ended is no error.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let Some(pid) = Pid::from_raw(self.pid) else {
            return Ok(());
        };
        let handle = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => handle,
            Err(Errno::SRCH) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if !self.is_running() {
            return Ok(());
        }
        match pidfd_send_signal(&handle, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// What `/proc/<pid>/stat` says of a process: its fields 3, 20 and 22.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    /// State letter of the first thread.
    state: u8,
    /// Threads, the first one included.
    threads: u64,
    start_ticks: u64,
}

impl Stat {
    fn read(pid: i32) -> io::Result<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        Self::parse(&text).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "unexpected /proc/<pid>/stat")
        })
    }

    /// The name in field 2 may hold anything, but ends with the last parenthesis.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace();
        Some(Self {
            state: *fields.next()?.as_bytes().first()?,
            threads: fields.nth(16)?.parse().ok()?,
            start_ticks: fields.nth(1)?.parse().ok()?,
        })
    }

    /// A killed process looks like a zombie as soon as its first thread is gone. The others may take a
    /// moment longer, and until then its files are open and its locks are held.
    const fn has_ended(&self) -> bool {
        matches!(self.state, b'Z' | b'X') && self.threads <= 1
    }
}

/// Starts a program whose output goes to the end of a file. It gets a process group of its own: Ctrl-C in
/// the terminal reaches only us, and we stop it in order.
pub(super) fn spawn(
    program: &Path,
    arguments: &[String],
    log: &Path,
) -> io::Result<(Child, ProcessId)> {
    let output = OpenOptions::new().create(true).append(true).open(log)?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        // Those of the caller's own node would override what belongs to each operator.
        .env_remove("SQUAD_HOME")
        .env_remove("SQUAD_PASSWORD_FILE")
        .process_group(0)
        .spawn()?;
    // Not collected yet, so it still has an entry even if it ended at once.
    match i32::try_from(child.id())
        .map_err(io::Error::other)
        .and_then(ProcessId::of)
    {
        Ok(id) => Ok((child, id)),
        Err(error) => {
            child.kill()?;
            child.wait()?;
            Err(error)
        }
    }
}

/// Ends processes: SIGTERM to all, and SIGKILL to those that are left after [`STOP_TIMEOUT`]. Returns how
/// many had to be killed.
///
/// # Errors
/// If the system refuses a signal.
pub async fn stop_all(processes: &[ProcessId]) -> io::Result<usize> {
    for process in processes {
        process.signal(Signal::TERM)?;
    }
    let deadline = Instant::now() + STOP_TIMEOUT;
    let running = || processes.iter().filter(|process| process.is_running());
    while running().next().is_some() && Instant::now() < deadline {
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    let mut killed = 0;
    for process in running() {
        process.signal(Signal::KILL)?;
        killed += 1;
    }
    while running().next().is_some() {
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(killed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_ended_when_its_last_thread_has() {
        let stat = |state: char, threads: u32| {
            let text = format!(
                "42 (a) b) {state} 1 42 42 0 -1 4228412 0 0 0 0 9 9 0 0 20 0 {threads} 0 777 0 0"
            );
            let stat = Stat::parse(&text).unwrap();
            assert_eq!(stat.start_ticks, 777);
            stat
        };
        assert!(!stat('S', 1).has_ended());
        assert!(!stat('Z', 3).has_ended());
        assert!(stat('Z', 1).has_ended());
    }

    #[test]
    fn a_process_is_recognised_by_its_start_and_left_alone_otherwise() {
        let own = i32::try_from(std::process::id()).unwrap();
        let id = ProcessId::of(own).unwrap();
        assert!(id.is_running());
        let other = ProcessId {
            start_ticks: id.start_ticks + 1,
            ..id
        };
        assert!(!other.is_running());
        // Were the start time ignored, this would end the test.
        other.signal(Signal::KILL).unwrap();
    }

    #[tokio::test]
    async fn a_stubborn_process_is_gone_after_stopping_and_zombies_do_not_count() {
        let home = tempfile::tempdir().unwrap();
        let log = home.path().join("log");
        let sleep = |seconds: &str| vec![seconds.to_owned()];
        let (mut child, id) = spawn(Path::new("/bin/sleep"), &sleep("1000"), &log).unwrap();
        assert!(id.is_running());
        assert_eq!(stop_all(&[id]).await.unwrap(), 0);
        assert!(!id.is_running(), "a zombie is not running");
        child.wait().unwrap();
        id.signal(Signal::KILL).unwrap();
    }
}
