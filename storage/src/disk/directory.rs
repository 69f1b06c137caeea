//! The data directory: one process at a time, one layout.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;

use super::bodies::sync_folder;
use crate::error::{OpenError, StorageError};

/// Number of the layout this version reads and writes, as found in the `FORMAT` file.
pub const FORMAT: u32 = 2;

/// Longest `FORMAT` file worth reading.
const FORMAT_BYTES_MAX: u64 = 16;

/// An exclusive lock on a directory, held until it is dropped or the process ends.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held for its lock")] File);

impl Lock {
    /// Locks `directory` through its file `LOCK`, which stays there: the kernel's lock counts, not
    /// the file.
    ///
    /// # Errors
    /// [`OpenError::Locked`] when another process holds it.
    pub fn acquire(directory: &Path) -> Result<Self, OpenError> {
        let path = directory.join("LOCK");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(StorageError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path }),
            Err(TryLockError::Error(error)) => Err(StorageError::io("lock", &path)(error).into()),
        }
    }
}

/// Whether `directory` has a database of safety records, which may be empty: a node ran here before.
#[must_use]
pub fn holds_safety_records(directory: &Path) -> bool {
    // RocksDB writes this pointer when it makes a database.
    directory.join("safety").join("CURRENT").is_file()
}

/// Checks the layout of `directory`, or marks a directory that holds none of `data` as ours.
pub(crate) fn check_format(directory: &Path, data: &[&str]) -> Result<(), OpenError> {
    let path = directory.join("FORMAT");
    match File::open(&path) {
        Ok(file) => {
            let mut found = Vec::new();
            file.take(FORMAT_BYTES_MAX)
                .read_to_end(&mut found)
                .map_err(StorageError::io("read", &path))?;
            let found = String::from_utf8_lossy(&found).trim().to_owned();
            if found == FORMAT.to_string() {
                return Ok(());
            }
            Err(OpenError::Format {
                path,
                found,
                supported: FORMAT,
            })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if data.iter().any(|name| directory.join(name).exists()) {
                return Err(OpenError::FormatMissing {
                    path: directory.to_owned(),
                });
            }
            Ok(write_format(directory, &path)?)
        }
        Err(error) => Err(StorageError::io("open", &path)(error).into()),
    }
}

/// Written under another name first: a crash leaves no half file.
pub(crate) fn write_format(directory: &Path, path: &Path) -> Result<(), StorageError> {
    let draft = directory.join("FORMAT.tmp");
    File::create(&draft)
        .and_then(|mut file| {
            writeln!(file, "{FORMAT}")?;
            file.sync_all()
        })
        .map_err(StorageError::io("write", &draft))?;
    std::fs::rename(&draft, path).map_err(StorageError::io("rename", &draft))?;
    sync_folder(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_locked_once_and_free_after_drop() {
        let home = tempfile::tempdir().expect("temporary directory");
        let lock = Lock::acquire(home.path()).expect("free");
        let second = Lock::acquire(home.path()).expect_err("taken");
        assert!(matches!(second, OpenError::Locked { path } if path.ends_with("LOCK")));
        drop(lock);
        Lock::acquire(home.path()).expect("free again");
    }

    #[test]
    fn a_new_directory_is_marked_and_recognised() {
        let home = tempfile::tempdir().expect("temporary directory");
        check_format(home.path(), &["db"]).expect("empty directory");
        check_format(home.path(), &["db"]).expect("own format");
        let written = std::fs::read_to_string(home.path().join("FORMAT")).expect("format file");
        assert_eq!(written, "2\n");
    }

    #[test]
    fn another_layout_is_refused_by_name() {
        let home = tempfile::tempdir().expect("temporary directory");
        for content in [
            "1\n",
            "3\n",
            "",
            "two",
            "2 2",
            "22222222222222222222222222222222",
        ] {
            std::fs::write(home.path().join("FORMAT"), content).expect("writable");
            let error = check_format(home.path(), &["db"]).expect_err("unknown layout");
            assert!(
                matches!(error, OpenError::Format { supported: 2, .. }),
                "{content:?}: {error}"
            );
        }
    }

    #[test]
    fn data_without_a_format_file_is_refused() {
        let home = tempfile::tempdir().expect("temporary directory");
        std::fs::create_dir(home.path().join("db")).expect("writable");
        let error = check_format(home.path(), &["db"]).expect_err("no format");
        assert!(matches!(error, OpenError::FormatMissing { .. }));
        assert!(!home.path().join("FORMAT").exists());
    }
}
