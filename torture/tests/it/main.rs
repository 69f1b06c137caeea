//! Floods and overload against real processes, in short form. What is asserted are rules, which hold on
//! any machine; figures are printed, and judged by longer runs of `squad-torture`.

mod floods;
mod overload;

use squad_torture::verdict::Verdict;
use std::path::PathBuf;
use tokio::sync::{Mutex, MutexGuard};

static ALONE: Mutex<()> = Mutex::const_new(());

/// A place for one network. One runs at a time: several would starve each other.
struct Place {
    directory: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Place {
    async fn take() -> Self {
        Self {
            _alone: ALONE.lock().await,
            directory: tempfile::tempdir().expect("a temporary directory"),
        }
    }

    /// A directory that does not exist yet.
    fn directory(&self) -> PathBuf {
        self.directory.path().join("run")
    }
}

#[track_caller]
fn assert_rules(verdict: &Verdict) {
    println!("{verdict}");
    assert!(verdict.rules_hold(), "{verdict}");
}
