//! Files that hold secrets.

use super::KeyError;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use zeroize::Zeroizing;

const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// A keystore needs about 1 KiB.
const BYTES_MAX: u64 = 16 << 10;

/// Permission bits of group and others.
const OTHERS: u32 = 0o077;

/// Writes a new file that only its owner can read, and syncs it. The directory is made if it is
/// missing. An existing file is never touched.
///
/// # Errors
/// [`KeyError::Io`], and [`KeyError::TooOpen`] if the directory lets others in.
pub fn create_secret_file(path: &Path, content: &[u8]) -> Result<(), KeyError> {
    let io = |source| KeyError::Io {
        path: path.to_owned(),
        source,
    };
    if let Some(parent) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        DirBuilder::new()
            .recursive(true)
            .mode(DIRECTORY_MODE)
            .create(parent)
            .map_err(io)?;
        let directory = File::open(parent).map_err(io)?;
        check_mode(parent, &directory, DIRECTORY_MODE)?;
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(path)
        .map_err(io)?;
    file.write_all(content).map_err(io)?;
    file.sync_all().map_err(io)
}

/// Reads a file that only its owner can read. The check looks at the opened file, so that nobody can
/// swap it in between.
pub(super) fn read_secret_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let io = |source| KeyError::Io {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(io)?;
    check_mode(path, &file, FILE_MODE)?;
    let mut content = Zeroizing::new(Vec::new());
    file.take(BYTES_MAX + 1)
        .read_to_end(&mut content)
        .map_err(io)?;
    if content.len() as u64 > BYTES_MAX {
        return Err(KeyError::TooLong {
            path: path.to_owned(),
            limit: BYTES_MAX,
        });
    }
    Ok(content)
}

fn check_mode(path: &Path, file: &File, expected: u32) -> Result<(), KeyError> {
    let metadata = file.metadata().map_err(|source| KeyError::Io {
        path: path.to_owned(),
        source,
    })?;
    let mode = metadata.mode() & 0o7777;
    if mode & OTHERS == 0 {
        return Ok(());
    }
    Err(KeyError::TooOpen {
        path: path.to_owned(),
        mode,
        expected,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn files_are_private_from_the_start_and_never_overwritten() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("keys/identity.json");
        create_secret_file(&path, b"first").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        let error = create_secret_file(&path, b"second").expect_err("exists");
        assert!(matches!(error, KeyError::Io { .. }), "{error}");
        assert_eq!(*read_secret_file(&path).unwrap(), b"first");
    }

    #[test]
    fn files_and_directories_open_to_others_are_refused() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("keys/identity.json");
        create_secret_file(&path, b"key").unwrap();
        for open in [0o640, 0o604, 0o620, 0o601] {
            set_permissions(&path, Permissions::from_mode(open)).unwrap();
            let error = read_secret_file(&path).expect_err("too open");
            assert!(
                matches!(error, KeyError::TooOpen { mode, expected: 0o600, .. } if mode == open),
                "{error}"
            );
        }
        set_permissions(path.parent().unwrap(), Permissions::from_mode(0o755)).unwrap();
        let error = create_secret_file(&path.with_file_name("other.json"), b"key");
        assert!(matches!(error, Err(KeyError::TooOpen { .. })));
    }

    #[test]
    fn a_long_file_is_not_read_to_its_end() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("keys/long.json");
        create_secret_file(&path, &vec![b' '; 1 << 20]).unwrap();
        let error = read_secret_file(&path).expect_err("too long");
        assert!(matches!(error, KeyError::TooLong { limit: 16_384, .. }));
    }
}
