//! Recovery of the body log, on real files with an index in memory.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};

use bytes::Bytes;
use squad_primitives::{Digest, Height};

use super::{BodyLog, segment};
use crate::body::{BodyHead, NewBody, PruneReport};
use crate::disk::kv::Kv;
use crate::disk::kv::memory::MemoryKv;
use crate::error::StorageError;
use crate::hooks::Hooks;

const SEGMENT_BYTES: u32 = 4096;

#[derive(Default)]
struct Fatal(Mutex<Vec<StorageError>>);

impl Hooks for Fatal {
    fn on_fatal(&self, error: StorageError) {
        self.0.lock().expect("not poisoned").push(error);
    }
}

fn open(folder: &Path, index: &Arc<MemoryKv>) -> Result<BodyLog, StorageError> {
    let index = Arc::clone(index) as Arc<dyn Kv>;
    BodyLog::open(
        folder,
        SEGMENT_BYTES,
        None,
        index,
        Arc::new(Fatal::default()),
    )
}

fn body(number: u8, bytes: usize) -> NewBody {
    NewBody {
        digest: Digest([number; 32]),
        tag: Height(u64::from(number)),
        header: Bytes::from(vec![number ^ 0xff; 40]),
        body: Bytes::from(vec![number; bytes]),
    }
}

fn append(log: &BodyLog, bodies: impl IntoIterator<Item = NewBody>) {
    let (durable, wait) = mpsc::channel();
    for body in bodies {
        let durable = durable.clone();
        log.append(
            body,
            Box::new(move || durable.send(()).expect("the test waits")),
        );
    }
    drop(durable);
    wait.iter().count();
}

fn heads(log: &BodyLog, since: u64) -> Vec<BodyHead> {
    let mut heads = Vec::new();
    log.visit(Height(since), &mut |head| heads.push(head))
        .expect("readable");
    heads
}

fn stored_numbers(log: &BodyLog) -> Vec<u8> {
    heads(log, 0).iter().map(|head| head.digest.0[0]).collect()
}

fn assert_stored(log: &BodyLog, expected: &NewBody) {
    let stored = log
        .get(&expected.digest)
        .expect("readable")
        .expect("stored");
    assert_eq!(
        (stored.tag, stored.header, stored.body),
        (expected.tag, expected.header.clone(), expected.body.clone())
    );
    let head = log.head(&expected.digest).expect("readable");
    let expected = BodyHead {
        digest: expected.digest,
        tag: expected.tag,
        header: expected.header.clone(),
        body_bytes: expected.body.len() as u32,
    };
    assert_eq!(head, Some(expected));
}

/// A folder as a crash leaves it: the files of a log that was never closed.
fn copy_files(from: &Path, to: &Path) {
    fs::create_dir(to).expect("writable");
    for number in segment::list(from).expect("readable") {
        fs::copy(segment::path_of(from, number), segment::path_of(to, number)).expect("copied");
    }
}

#[test]
fn bodies_are_found_before_and_after_a_restart_and_over_several_segments() {
    let home = tempfile::tempdir().expect("temporary directory");
    let index = Arc::new(MemoryKv::default());
    let bodies: Vec<NewBody> = (1..=40).map(|n| body(n, usize::from(n) * 20)).collect();
    let log = open(home.path(), &index).expect("opened");
    append(&log, bodies.clone());
    assert_eq!(log.queued_bytes(), 0);
    bodies.iter().for_each(|body| assert_stored(&log, body));
    assert!(!log.contains(&Digest([99; 32])).expect("readable"));
    drop(log);
    assert!(segment::list(home.path()).expect("readable").len() > 3);

    for index in [index, Arc::new(MemoryKv::default())] {
        let log = open(home.path(), &index).expect("opened again, with and without the old index");
        bodies.iter().for_each(|body| assert_stored(&log, body));
        let tags: Vec<u64> = heads(&log, 30).iter().map(|head| head.tag.0).collect();
        assert_eq!(tags, (30..=40).collect::<Vec<_>>());
    }
}

#[test]
fn empty_and_oversized_bodies_are_kept() {
    let home = tempfile::tempdir().expect("temporary directory");
    let index = Arc::new(MemoryKv::default());
    let large = body(2, 3 * SEGMENT_BYTES as usize);
    let empty = NewBody {
        header: Bytes::new(),
        ..body(3, 0)
    };
    let log = open(home.path(), &index).expect("opened");
    append(&log, [body(1, 10), large.clone(), empty.clone()]);
    drop(log);
    let log = open(home.path(), &Arc::new(MemoryKv::default())).expect("opened again");
    assert_stored(&log, &large);
    assert_stored(&log, &empty);
    assert_eq!(stored_numbers(&log), [1, 2, 3]);
}

/// Whatever part of the last record reached the disk, the records before it stay and it is gone;
/// afterwards the log takes new records and finds all of them after another restart.
#[test]
fn a_tail_torn_at_any_byte_is_cut() {
    let home = tempfile::tempdir().expect("temporary directory");
    let original = home.path().join("original");
    let log = open(&original, &Arc::new(MemoryKv::default())).expect("opened");
    append(&log, [body(1, 100), body(2, 50)]);
    let kept = usize::try_from(log.disk_bytes()).expect("small");
    append(&log, [body(3, 60)]);
    let end = usize::try_from(log.disk_bytes()).expect("small");
    let crashed = home.path().join("crashed");
    copy_files(&original, &crashed);
    let path = segment::path_of(&crashed, 0);
    let whole = fs::read(&path).expect("readable");

    for cut in kept..=end {
        for zeros in [false, true] {
            let mut torn = whole[..cut].to_vec();
            if zeros {
                // Preallocated and never written.
                torn.resize(whole.len(), 0);
            }
            fs::write(&path, &torn).expect("writable");
            let index = Arc::new(MemoryKv::default());
            let log = open(&crashed, &index).expect("recovers");
            let expected: &[u8] = if cut == end { &[1, 2, 3] } else { &[1, 2] };
            assert_eq!(
                stored_numbers(&log),
                expected,
                "cut at {cut}, zeros {zeros}"
            );
            assert_eq!(
                log.contains(&Digest([3; 32])).expect("readable"),
                cut == end
            );
            append(&log, [body(4, 30)]);
            drop(log);
            let log = open(&crashed, &index).expect("opened again");
            assert_stored(&log, &body(2, 50));
            assert_stored(&log, &body(4, 30));
            drop(log);
            fs::remove_file(segment::path_of(&crashed, 1)).expect("second segment");
        }
    }
}

#[test]
fn a_tail_with_any_flipped_byte_is_cut() {
    let home = tempfile::tempdir().expect("temporary directory");
    let original = home.path().join("original");
    let log = open(&original, &Arc::new(MemoryKv::default())).expect("opened");
    append(&log, [body(1, 100)]);
    let kept = usize::try_from(log.disk_bytes()).expect("small");
    append(&log, [body(2, 50)]);
    let end = usize::try_from(log.disk_bytes()).expect("small");
    let crashed = home.path().join("crashed");
    copy_files(&original, &crashed);
    let path = segment::path_of(&crashed, 0);
    let whole = fs::read(&path).expect("readable");
    for at in kept..end {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x40;
        fs::write(&path, &damaged).expect("writable");
        let log = open(&crashed, &Arc::new(MemoryKv::default())).expect("recovers");
        assert_eq!(stored_numbers(&log), [1], "byte {at} changed");
    }
}

#[test]
fn a_segment_whose_creation_was_interrupted_is_dropped() {
    for content in [vec![], vec![0; 5], vec![0; 4096]] {
        let home = tempfile::tempdir().expect("temporary directory");
        fs::write(segment::path_of(home.path(), 0), content).expect("writable");
        let log = open(home.path(), &Arc::new(MemoryKv::default())).expect("recovers");
        append(&log, [body(1, 10)]);
        assert_eq!(stored_numbers(&log), [1]);
    }
}

#[test]
fn damage_in_a_sealed_segment_is_an_error_and_never_wrong_data() {
    let home = tempfile::tempdir().expect("temporary directory");
    let index = Arc::new(MemoryKv::default());
    let log = open(home.path(), &index).expect("opened");
    append(&log, [body(1, 100), body(2, 100)]);
    drop(log);
    let path = segment::path_of(home.path(), 0);
    let whole = fs::read(&path).expect("readable");

    let mut damaged = whole.clone();
    *damaged.last_mut().expect("not empty") ^= 1;
    fs::write(&path, &damaged).expect("writable");
    let log = open(home.path(), &index).expect("opened: bodies are checked when they are read");
    assert_stored(&log, &body(1, 100));
    let error = log.get(&Digest([2; 32])).expect_err("damaged");
    assert!(
        matches!(error, StorageError::CorruptBody { segment: 0, .. }),
        "{error}"
    );
    drop(log);

    fs::write(&path, &whole[..whole.len() - 1]).expect("writable");
    let error = open(home.path(), &index).expect_err("shorter than it was sealed");
    assert!(
        matches!(error, StorageError::CorruptBody { segment: 0, .. }),
        "{error}"
    );
}

#[test]
fn pruning_removes_whole_old_segments_only() {
    let home = tempfile::tempdir().expect("temporary directory");
    let index = Arc::new(MemoryKv::default());
    let log = open(home.path(), &index).expect("opened");
    // Three to a segment.
    append(&log, (1..=12).map(|n| body(n, 1200)));
    assert_eq!(segment::list(home.path()).expect("readable"), [0, 1, 2, 3]);

    let nothing = log.prune(Height(3), &mut |_| true).expect("prunes");
    assert_eq!(
        nothing,
        PruneReport::default(),
        "tag 3 is in the first segment"
    );
    let needed = log
        .prune(Height(7), &mut |digest| digest.0[0] != 5)
        .expect("prunes");
    assert_eq!(
        needed.bodies, 3,
        "the second segment holds a body that is needed"
    );
    assert_eq!(segment::list(home.path()).expect("readable"), [1, 2, 3]);
    assert_eq!(stored_numbers(&log), (4..=12).collect::<Vec<u8>>());
    assert!(!log.contains(&Digest([1; 32])).expect("readable"));

    let rest = log.prune(Height(1000), &mut |_| true).expect("prunes");
    assert_eq!(rest.bodies, 6, "the last segment stays");
    drop(log);
    let log = open(home.path(), &index).expect("opened again");
    assert_eq!(stored_numbers(&log), [10, 11, 12]);
    append(&log, [body(13, 10)]);
    assert_eq!(
        segment::list(home.path()).expect("readable"),
        [3, 4],
        "numbers are not used twice"
    );
}

#[test]
fn a_batch_stored_twice_outlives_its_first_copy() {
    let home = tempfile::tempdir().expect("temporary directory");
    let index = Arc::new(MemoryKv::default());
    let log = open(home.path(), &index).expect("opened");
    append(
        &log,
        [body(1, 1200), body(2, 1200), body(3, 1200), body(1, 1200)],
    );
    let report = log.prune(Height(10), &mut |_| true).expect("prunes");
    assert_eq!(report.bodies, 3);
    assert_stored(&log, &body(1, 1200));
}

#[test]
fn a_failed_write_is_fatal_and_reports_nothing_durable() {
    let home = tempfile::tempdir().expect("temporary directory");
    let folder = home.path().join("bodies");
    let fatal = Arc::new(Fatal::default());
    let index = Arc::new(MemoryKv::default()) as Arc<dyn Kv>;
    let log = BodyLog::open(&folder, SEGMENT_BYTES, None, index, fatal.clone()).expect("opened");
    append(&log, [body(1, 10)]);
    fs::remove_dir_all(&folder).expect("removed");
    // Too large for the active segment: the next one can't be created any more.
    let (durable, wait) = mpsc::channel();
    for number in 2..=4 {
        let durable = durable.clone();
        let report = Box::new(move || durable.send(number).expect("the test waits"));
        log.append(body(number, 3000 + SEGMENT_BYTES as usize), report);
    }
    drop(durable);
    assert_eq!(wait.iter().count(), 0);
    drop(log);
    let errors = fatal.0.lock().expect("not poisoned");
    assert!(
        matches!(
            errors.as_slice(),
            [StorageError::Io {
                operation: "create",
                ..
            }]
        ),
        "{errors:?}"
    );
}

#[test]
fn a_checkpoint_holds_what_was_durable_and_does_not_grow() {
    let home = tempfile::tempdir().expect("temporary directory");
    let log = open(&home.path().join("bodies"), &Arc::new(MemoryKv::default())).expect("opened");
    append(&log, (1..=5).map(|n| body(n, 1200)));
    let target = home.path().join("copy");
    log.checkpoint(&target).expect("written");
    append(&log, (6..=9).map(|n| body(n, 1200)));
    let copy = open(&target, &Arc::new(MemoryKv::default())).expect("opened");
    assert_eq!(stored_numbers(&copy), [1, 2, 3, 4, 5]);
    assert_stored(&copy, &body(5, 1200));
    assert!(
        log.checkpoint(&target).is_err(),
        "never over something that exists"
    );
}
