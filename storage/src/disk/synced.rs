//! How far a log was synced, noted outside of it.
//!
//! After a crash a log ends with whatever was not synced: a torn end is normal, and recovery cuts it. A
//! disk that *loses* what it had synced, or damages it, leaves the same picture, and an operator that goes
//! on from there has forgotten votes and acknowledgements that others hold. So each sync that something
//! signed depends on is noted here, after it and before it is reported, and a log that ends before its
//! mark does not open.
//!
//! ```text
//! mark := slot 0, slot 1
//! slot := first u64, second u64, crc u32 of both, padding to 512 bytes (a sector)
//! ```
//!
//! Integers are little-endian. Slots are written in turns, so that a torn write leaves the one before. The
//! mark itself is not synced, which would double the syncs: a crash of the process leaves it exact, one of
//! the machine leaves an earlier one, which is still true and notices less.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::StorageError;

const SLOT_BYTES: usize = 512;
const SLOTS: usize = 2;
/// Bytes of a slot that mean something.
const USED_BYTES: usize = 20;

/// Logs that have marks: folders of the data directory.
const MARKED: [&str; 2] = ["safety", "bodies"];

/// A place in a log, compared from left to right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position(pub(crate) u64, pub(crate) u64);

impl Position {
    fn encode(self) -> [u8; USED_BYTES] {
        let mut bytes = [0; USED_BYTES];
        bytes[..8].copy_from_slice(&self.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.1.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..16]);
        bytes[16..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (first, rest) = bytes.split_first_chunk()?;
        let (second, _) = rest.split_first_chunk()?;
        let position = Self(u64::from_le_bytes(*first), u64::from_le_bytes(*second));
        (bytes.get(..USED_BYTES)? == position.encode()).then_some(position)
    }
}

/// The mark of one log. See the module.
#[derive(Debug)]
pub(crate) struct SyncedMark {
    log: PathBuf,
    path: PathBuf,
    file: File,
    last: Position,
    slot: usize,
}

impl SyncedMark {
    /// Reads the mark of the log in the folder `log`, or begins one beside it.
    pub(crate) fn open(log: &Path) -> Result<Self, StorageError> {
        let path = path_of(log);
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(StorageError::io("open", &path))?;
        let content = std::fs::read(&path).map_err(StorageError::io("read", &path))?;
        let slots = content.chunks(SLOT_BYTES).take(SLOTS).enumerate();
        let found = slots.filter_map(|(slot, bytes)| Some((Position::decode(bytes)?, slot)));
        let Some((last, slot)) = found.max() else {
            if content.iter().any(|byte| *byte != 0) {
                return Err(StorageError::CorruptMark { path });
            }
            return Ok(Self::new(log, path, file, Position::default(), 0));
        };
        Ok(Self::new(log, path, file, last, (slot + 1) % SLOTS))
    }

    fn new(log: &Path, path: PathBuf, file: File, last: Position, slot: usize) -> Self {
        Self {
            log: log.to_owned(),
            path,
            file,
            last,
            slot,
        }
    }

    /// What was synced last.
    pub(crate) const fn position(&self) -> Position {
        self.last
    }

    /// Refuses a log that ends at `end`, before the mark.
    pub(crate) fn check(&self, end: Position) -> Result<(), StorageError> {
        if end >= self.last {
            return Ok(());
        }
        Err(StorageError::RecordsLost {
            log: self.log.clone(),
            end: (end.0, end.1),
            synced: (self.last.0, self.last.1),
        })
    }

    /// Notes that everything up to `position` is synced.
    pub(crate) fn advance(&mut self, position: Position) -> Result<(), StorageError> {
        if position <= self.last {
            return Ok(());
        }
        let offset = (self.slot * SLOT_BYTES) as u64;
        self.file
            .write_all_at(&position.encode(), offset)
            .map_err(StorageError::io("write", &self.path))?;
        self.last = position;
        self.slot = (self.slot + 1) % SLOTS;
        Ok(())
    }
}

fn path_of(log: &Path) -> PathBuf {
    log.with_extension("synced")
}

/// Forgets how far the logs of a data directory were synced: it opens although records are lost. What an
/// operator signed with them may then be contradicted, which costs its stake.
///
/// # Errors
/// If a mark can't be removed.
pub fn forget_synced(directory: &Path) -> Result<(), StorageError> {
    for log in MARKED {
        let path = path_of(&directory.join(log));
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StorageError::io("remove", &path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(home: &Path) -> SyncedMark {
        SyncedMark::open(&home.join("safety")).expect("a mark")
    }

    #[test]
    fn a_log_may_end_at_its_mark_or_later_and_not_before() {
        let home = tempfile::tempdir().expect("temporary directory");
        let mut mark = open(home.path());
        mark.check(Position::default()).expect("nothing was synced");
        for position in [Position(1, 9), Position(2, 3), Position(2, 4)] {
            mark.advance(position).expect("written");
        }
        mark.advance(Position(1, 100)).expect("ignored");
        let mark = open(home.path());
        assert_eq!(mark.position(), Position(2, 4));
        for end in [Position(2, 4), Position(2, 5), Position(3, 0)] {
            mark.check(end).expect("at the mark or later");
        }
        let error = mark.check(Position(2, 3)).expect_err("before the mark");
        assert!(
            matches!(
                &error,
                StorageError::RecordsLost { log, end: (2, 3), synced: (2, 4) }
                    if log.ends_with("safety")
            ),
            "{error}"
        );
    }

    #[test]
    fn a_torn_or_damaged_slot_leaves_the_mark_before() {
        let home = tempfile::tempdir().expect("temporary directory");
        let mut mark = open(home.path());
        for number in 1..=4 {
            mark.advance(Position(number, 0)).expect("written");
        }
        let path = home.path().join("safety.synced");
        let whole = std::fs::read(&path).expect("readable");
        for at in 0..USED_BYTES {
            // The fourth mark is in the second slot.
            for (slot, left) in [(1, 3), (0, 4)] {
                let mut damaged = whole.clone();
                damaged[slot * SLOT_BYTES + at] ^= 0x40;
                std::fs::write(&path, damaged).expect("writable");
                assert_eq!(open(home.path()).position(), Position(left, 0));
            }
        }
        std::fs::write(&path, &whole[..SLOT_BYTES + 7]).expect("writable");
        let mut mark = open(home.path());
        assert_eq!(mark.position(), Position(3, 0));
        mark.advance(Position(5, 0)).expect("over the damaged one");
        assert_eq!(open(home.path()).position(), Position(5, 0));
    }

    #[test]
    fn hostile_slots() {
        let valid = [Position(1_809, 0), Position(7, u64::MAX)].map(|p| p.encode().to_vec());
        squad_fuzz::run("slots of a mark", |u| {
            let input = squad_fuzz::hostile(u, &valid, squad_fuzz::damage)?;
            let position = Position::decode(&input);
            if let Some(position) = position {
                assert_eq!(position.encode(), input[..USED_BYTES]);
            }
            Ok(position.is_some())
        });
    }

    #[test]
    fn a_mark_that_says_nothing_is_refused() {
        let home = tempfile::tempdir().expect("temporary directory");
        std::fs::write(home.path().join("safety.synced"), [7; 1024]).expect("writable");
        let error = SyncedMark::open(&home.path().join("safety")).expect_err("noise");
        assert!(matches!(error, StorageError::CorruptMark { .. }), "{error}");
        forget_synced(home.path()).expect("removed");
        assert_eq!(open(home.path()).position(), Position::default());
    }
}
