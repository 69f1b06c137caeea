//! The mark beside a key that has been in use.
//!
//! What a key has signed is recorded in the data directory. If that is lost while the key is not, a node
//! would start as if it had never signed anything, and could contradict itself: vote twice in a view,
//! or make a second lane from the beginning, which costs stake. So the first start in a network leaves
//! a mark beside the key, and a start that finds the mark but no records is refused.
//!
//! The file lists one network id per line: one key may serve several networks one after the other.

use super::KeyError;
use squad_primitives::NetworkId;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// Path of the mark of a key file.
#[must_use]
pub fn mark_path(key: &Path) -> PathBuf {
    let mut name = key.as_os_str().to_owned();
    name.push(".used");
    PathBuf::from(name)
}

/// Whether the key has been in use in this network.
///
/// # Errors
/// [`KeyError::Io`] if the mark can't be read.
pub fn is_used(key: &Path, network: &NetworkId) -> Result<bool, KeyError> {
    let path = mark_path(key);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(text.lines().any(|line| line == network.to_string())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(source) => Err(KeyError::Io { path, source }),
    }
}

/// Notes that the key is about to be in use; durable when this returns.
///
/// # Errors
/// [`KeyError::Io`].
pub fn mark_used(key: &Path, network: &NetworkId) -> Result<(), KeyError> {
    if is_used(key, network)? {
        return Ok(());
    }
    let path = mark_path(key);
    let write = || {
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        writeln!(file, "{network}")?;
        file.sync_all()?;
        match path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            Some(parent) => File::open(parent)?.sync_all(),
            None => Ok(()),
        }
    };
    write().map_err(|source| KeyError::Io {
        path: path.clone(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use squad_primitives::Digest;

    #[test]
    fn a_mark_counts_for_its_network_only_and_is_written_once() {
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("identity.json");
        let network = |byte: u8| -> NetworkId { Digest([byte; 32]) };
        assert!(!is_used(&key, &network(1)).unwrap());
        for _ in 0..3 {
            mark_used(&key, &network(1)).unwrap();
        }
        mark_used(&key, &network(2)).unwrap();
        assert!(is_used(&key, &network(1)).unwrap());
        assert!(is_used(&key, &network(2)).unwrap());
        assert!(!is_used(&key, &network(3)).unwrap());
        let text = std::fs::read_to_string(mark_path(&key)).unwrap();
        assert_eq!(text.lines().count(), 2);
    }
}
