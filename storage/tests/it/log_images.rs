//! Images of the log of safety records, as a crash or a bad disk leaves them: cut at every byte of its
//! last three records, and each of their bytes changed. The store opens with exactly the intact prefix, or
//! refuses: surely if that ends before what was synced. It never serves other data.

use std::fs;
use std::path::{Path, PathBuf};

use squad_storage::{DiskConfig, DiskStore, OpenError, StorageError, Store, Table};

use crate::support::{hooks, put};

/// Records in the log.
const RECORDS: usize = 6;
/// Of these, how many are damaged.
const DAMAGED: usize = 3;

struct Image {
    home: tempfile::TempDir,
    /// The log that safety records are in, below a home.
    log: PathBuf,
    content: Vec<u8>,
    /// Length of the log after each record.
    ends: Vec<usize>,
    /// What the mark held when so many records were synced.
    marks: Vec<Vec<u8>>,
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("writable");
    for entry in fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("readable").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// The one log file with content.
fn log_of(safety: &Path) -> PathBuf {
    let files = fs::read_dir(safety).expect("readable");
    let paths = files.map(|entry| entry.expect("readable").path());
    let logs = paths.filter(|path| path.extension().is_some_and(|end| end == "log"));
    let full = logs.filter(|path| fs::metadata(path).expect("readable").len() > 0);
    let full: Vec<_> = full.collect();
    assert_eq!(full.len(), 1, "{full:?}");
    full[0].clone()
}

impl Image {
    fn take() -> Self {
        let home = tempfile::tempdir().expect("temporary directory");
        let running = home.path().join("running");
        let store = DiskStore::open(&running, &DiskConfig::default(), hooks()).expect("opened");
        let mark = running.join("safety.synced");
        let mut marks = vec![fs::read(&mark).expect("readable")];
        let mut ends = Vec::new();
        let mut log = PathBuf::new();
        for number in 1..=RECORDS {
            put(
                &store,
                Table::SafetyConsensus,
                &[(&number.to_string(), &"vote ".repeat(number))],
            );
            log = log_of(&running.join("safety"));
            ends.push(usize::try_from(fs::metadata(&log).expect("readable").len()).expect("small"));
            marks.push(fs::read(&mark).expect("readable"));
        }
        copy(&running, &home.path().join("killed"));
        let content = fs::read(&log).expect("readable");
        let log = log.strip_prefix(&running).expect("inside").to_owned();
        Self {
            home,
            log,
            content,
            ends,
            marks,
        }
    }

    /// Records with their values in a home whose log has this content and whose mark says that the first
    /// `synced` records were synced; `None` if it doesn't open.
    fn records(&self, content: &[u8], synced: usize) -> Option<usize> {
        let damaged = self.home.path().join("damaged");
        drop(fs::remove_dir_all(&damaged));
        copy(&self.home.path().join("killed"), &damaged);
        fs::write(damaged.join(&self.log), content).expect("writable");
        fs::write(damaged.join("safety.synced"), &self.marks[synced]).expect("writable");
        let store = match DiskStore::open(&damaged, &DiskConfig::default(), hooks()) {
            Ok(store) => store,
            Err(OpenError::Storage(StorageError::RecordsLost { log, .. })) => {
                assert!(log.ends_with("safety"), "{log:?}");
                return None;
            }
            Err(OpenError::Storage(error)) => {
                let source = std::error::Error::source(&error);
                let text = source.map(|source| source.to_string().to_lowercase());
                let text = text.unwrap_or_default();
                assert!(text.contains("corrupt"), "unclear: {error}: {text}");
                return None;
            }
            Err(other) => panic!("{other}"),
        };
        let mut found = 0;
        for number in 1..=RECORDS {
            let key = number.to_string();
            let value = store
                .get(Table::SafetyConsensus, key.as_bytes())
                .expect("readable");
            if let Some(value) = value {
                assert_eq!(value, "vote ".repeat(number), "wrong data");
                assert_eq!(found + 1, number, "a gap");
                found = number;
            }
        }
        Some(found)
    }

    fn first(&self) -> usize {
        self.ends[RECORDS - DAMAGED - 1]
    }

    fn intact(&self, offset: usize) -> usize {
        self.ends.iter().filter(|end| **end <= offset).count()
    }
}

#[test]
fn cut_at_every_byte() {
    let image = Image::take();
    assert_eq!(image.records(&image.content, RECORDS), Some(RECORDS));
    for cut in image.first()..image.content.len() {
        let intact = image.intact(cut);
        let torn = &image.content[..cut];
        for synced in [0, intact] {
            let found = image.records(torn, synced);
            assert_eq!(found, Some(intact), "cut at {cut}, {synced} synced");
        }
        if intact < RECORDS {
            let found = image.records(torn, intact + 1);
            assert_eq!(found, None, "cut at {cut}, one record lost");
        }
    }
}

/// Damage that makes a record look longer than the file passes for the end of a crash: only the mark tells
/// the two apart.
#[test]
fn every_byte_changed() {
    let image = Image::take();
    let mut noticed = 0;
    for at in image.first()..image.ends[RECORDS - 1] {
        let mut content = image.content.clone();
        content[at] ^= 0xff;
        let intact = image.intact(at);
        let found = image.records(&content, intact);
        noticed += usize::from(found.is_none());
        assert!(
            found.is_none() || found == Some(intact),
            "byte {at} changed: {found:?} records, {intact} before it"
        );
        let found = image.records(&content, intact + 1);
        assert_eq!(found, None, "byte {at} changed, one record lost");
    }
    assert!(noticed > 0, "the engine notices most of it by itself");
}
