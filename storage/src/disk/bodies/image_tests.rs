//! Images of a body log as crashes, bad disks and careless hands leave them: cut at every byte of the
//! last three records, each of their bytes changed, and arbitrary damage. A log opens with exactly the
//! intact prefix, or refuses: surely if the prefix ends before what was synced. What it serves is always
//! what was stored.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use bytes::Bytes;
use squad_fuzz::{Bound, bounded, damage, hostile, run};
use squad_primitives::{Digest, Height};

use super::files::Summary;
use super::record::{Place, SEGMENT_HEADER_BYTES};
use super::{BodyLog, segment};
use crate::body::NewBody;
use crate::disk::kv::Kv;
use crate::disk::kv::memory::MemoryKv;
use crate::disk::synced::{Position, SyncedMark};
use crate::error::StorageError;
use crate::hooks::Hooks;
use crate::table::Table;
use crate::tables::{Direction, Scan};

struct Ignored;

impl Hooks for Ignored {
    fn on_fatal(&self, _: StorageError) {}
}

fn open(
    folder: &Path,
    index: &Arc<MemoryKv>,
    mark: Option<SyncedMark>,
) -> Result<BodyLog, StorageError> {
    let index = Arc::clone(index) as Arc<dyn Kv>;
    BodyLog::open(folder, 4096, mark, index, Arc::new(Ignored))
}

fn body(number: u8) -> NewBody {
    NewBody {
        digest: Digest([number; 32]),
        tag: Height(u64::from(number)),
        header: Bytes::from(vec![number ^ 0xff; 12]),
        body: Bytes::from(vec![number; 16 + usize::from(number)]),
    }
}

/// A log that was never closed: its files, the index as it was then, and the end of each record.
struct Image {
    home: tempfile::TempDir,
    segment: Vec<u8>,
    index: Vec<(Bytes, Bytes)>,
    ends: Vec<usize>,
}

const RECORDS: u8 = 6;
const HEADER: usize = SEGMENT_HEADER_BYTES as usize;

impl Image {
    fn take() -> Self {
        let home = tempfile::tempdir().expect("temporary directory");
        let original = home.path().join("original");
        let index = Arc::new(MemoryKv::default());
        let mark = SyncedMark::open(&original).expect("a mark");
        let log = open(&original, &index, Some(mark)).expect("opened");
        let mut ends = Vec::new();
        for number in 1..=RECORDS {
            let (durable, wait) = mpsc::channel();
            log.append(
                body(number),
                Box::new(move || durable.send(()).expect("the test waits")),
            );
            wait.recv().expect("durable");
            ends.push(usize::try_from(log.disk_bytes()).expect("small"));
        }
        let mut segment = fs::read(segment::path_of(&original, 0)).expect("readable");
        segment.truncate(ends[ends.len() - 1] + 40);
        let everything = Scan {
            from: &[],
            to: None,
            direction: Direction::Forward,
            limit: usize::MAX,
        };
        let index = index.scan(Table::BodyIndex, everything).expect("readable");
        fs::create_dir(home.path().join("damaged")).expect("writable");
        Self {
            home,
            segment,
            index,
            ends,
        }
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join("damaged")
    }

    /// Offset at which the last three records begin.
    fn last_three(&self) -> usize {
        self.ends[self.ends.len() - 4]
    }

    /// Opens a damaged image with the index of the crash, or with none, and checks all that it serves.
    /// Returns the bodies that are there, or `None` if the log refused.
    fn bodies(&self, number: u32, content: &[u8], with_index: bool) -> Option<Vec<u8>> {
        let folder = self.folder();
        for old in segment::list(&folder).expect("readable") {
            fs::remove_file(segment::path_of(&folder, old)).expect("removable");
        }
        fs::write(segment::path_of(&folder, number), content).expect("writable");
        let index = Arc::new(MemoryKv::default());
        if with_index {
            let mut changes = crate::Changes::new(crate::Database::Main);
            for (key, value) in &self.index {
                changes.put(Table::BodyIndex, key.clone(), value.clone());
            }
            index.write(&[changes], true).expect("in memory");
        }
        let opened = bounded(Bound::PEER, content.len(), || open(&folder, &index, None));
        let log = match opened {
            Ok(log) => log,
            Err(StorageError::CorruptBody { .. }) => return None,
            Err(other) => panic!("{other}"),
        };
        let mut there = Vec::new();
        for number in 1..=RECORDS {
            let expected = body(number);
            let found = log
                .get(&expected.digest)
                .expect("checked when it was opened");
            assert_eq!(
                log.contains(&expected.digest).expect("readable"),
                found.is_some()
            );
            if let Some(found) = found {
                assert_eq!(
                    (found.tag, found.header, found.body),
                    (expected.tag, expected.header, expected.body),
                    "wrong data"
                );
                there.push(number);
            }
        }
        let mut listed = Vec::new();
        log.visit(Height(0), &mut |head| listed.push(head.digest.0[0]))
            .expect("readable");
        assert_eq!(listed, there);
        Some(there)
    }

    /// Whether an image opens whose first `synced` records were synced in segment 0. If not, it is left as
    /// it was found.
    fn opens(&self, content: Option<&[u8]>, synced: usize) -> bool {
        let folder = self.folder();
        let path = segment::path_of(&folder, 0);
        drop(fs::remove_file(&path));
        if let Some(content) = content {
            fs::write(&path, content).expect("writable");
        }
        let other = segment::path_of(&folder, 1);
        drop(fs::remove_file(&other));
        drop(fs::remove_file(self.home.path().join("damaged.synced")));
        let mut mark = SyncedMark::open(&folder).expect("a mark");
        if synced > 0 {
            let end = self.ends[synced - 1] as u64;
            mark.advance(Position(0, end)).expect("written");
        }
        match open(&folder, &Arc::default(), Some(mark)) {
            Ok(_) => true,
            Err(StorageError::RecordsLost { log, .. }) => {
                assert_eq!(log, folder);
                assert_eq!(fs::read(&path).ok().as_deref(), content, "left alone");
                false
            }
            Err(other) => panic!("{other}"),
        }
    }

    /// Records that end at or before `offset`.
    fn intact(&self, offset: usize) -> Vec<u8> {
        let records = (1..).zip(&self.ends);
        records
            .filter(|(_, end)| **end <= offset)
            .map(|(number, _)| number)
            .collect()
    }
}

#[test]
fn cut_at_every_byte_of_the_last_three_records() {
    let image = Image::take();
    for cut in image.last_three()..image.segment.len() {
        for with_index in [false, true] {
            let torn = &image.segment[..cut];
            assert_eq!(
                image.bodies(0, torn, with_index),
                Some(image.intact(cut)),
                "cut at {cut}, index {with_index}"
            );
        }
    }
}

#[test]
fn every_changed_byte_of_the_last_three_records() {
    let image = Image::take();
    let end = image.ends[image.ends.len() - 1];
    for at in image.last_three()..end {
        for (flip, with_index) in [(0x01, true), (0xff, false)] {
            let mut damaged = image.segment.clone();
            damaged[at] ^= flip;
            assert_eq!(
                image.bodies(0, &damaged, with_index),
                Some(image.intact(at)),
                "byte {at} changed, index {with_index}"
            );
        }
    }
}

#[test]
fn a_log_opens_if_and_only_if_everything_synced_is_there() {
    let image = Image::take();
    let mark = SyncedMark::open(&image.home.path().join("original")).expect("a mark");
    let last = image.ends[image.ends.len() - 1];
    assert_eq!(mark.position(), Position(0, last as u64));

    for synced in 0..=image.ends.len() {
        assert_eq!(image.opens(None, synced), synced == 0, "no file, {synced}");
        for at in (image.last_three()..image.segment.len()).step_by(3) {
            let there = image.intact(at).len();
            let mut changed = image.segment.clone();
            changed[at] ^= 0x10;
            for damaged in [&image.segment[..at], &changed] {
                assert_eq!(
                    image.opens(Some(damaged), synced),
                    there >= synced,
                    "{there} intact, {synced} synced"
                );
            }
        }
    }
}

/// A segment names its number: a file that was renamed is refused, with or without its own header.
#[test]
fn a_segment_under_another_number_is_refused() {
    let image = Image::take();
    let mut renamed = image.segment.clone();
    renamed[12] = 1;
    for with_index in [false, true] {
        assert_eq!(image.bodies(1, &image.segment, with_index), None);
        assert_eq!(image.bodies(1, &renamed, with_index), Some(vec![]));
    }
}

#[test]
fn arbitrary_damage() {
    let image = Image::take();
    let valid = [image.segment.clone()];
    run("body segments", |u| {
        let damaged = hostile(u, &valid, damage)?;
        let there = image.bodies(0, &damaged, u.arbitrary()?);
        let same = image.segment.iter().zip(&damaged);
        let intact = image.intact(same.take_while(|(a, b)| a == b).count());
        match &there {
            Some(there) => assert_eq!(there, &intact, "exactly the intact prefix"),
            None => assert!(!damaged.starts_with(&image.segment[..HEADER]), "refused"),
        }
        Ok(!intact.is_empty())
    });
}

#[test]
fn entries_of_the_index() {
    let place = Place {
        segment: 1,
        offset: 16,
        header_bytes: 12,
        body_bytes: 300,
    };
    let valid = [place.encode().to_vec(), Summary::EMPTY.encode()];
    run("entries of the body index", |u| {
        let input = hostile(u, &valid, damage)?;
        let place = Place::decode(&input);
        if let Some(place) = &place {
            assert_eq!(place.encode(), *input);
        }
        let summary = Summary::decode(&input);
        if let Some(summary) = &summary {
            assert_eq!(summary.encode(), input);
        }
        Ok(place.is_some() || summary.is_some())
    });
}
