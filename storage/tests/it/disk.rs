//! The disk store: restarts, crashes, locks, layouts, snapshots.

use std::fs;
use std::path::Path;
use std::sync::mpsc;

use squad_primitives::Height;
use squad_storage::{
    Changes, Database, DiskConfig, DiskStore, OpenError, StorageError, Store, Table, TxPosition,
    forget_synced,
};

use crate::support::{append, body, commit, hooks, id, put, text};

fn open(home: &Path) -> DiskStore {
    DiskStore::open(home, &DiskConfig::default(), hooks()).expect("opened")
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

fn assert_everything(store: &DiskStore) {
    assert_eq!(text(store, Table::Blocks, "1").as_deref(), Some("block"));
    assert_eq!(text(store, Table::SafetyLanes, "1").as_deref(), Some("ack"));
    let stored = store
        .body(&body(1).digest)
        .expect("readable")
        .expect("stored");
    assert_eq!(stored.body, body(1).body);
}

#[test]
fn everything_reported_durable_survives_an_orderly_end() {
    let home = tempfile::tempdir().expect("temporary directory");
    let store = open(home.path());
    put(&store, Table::Blocks, &[("1", "block")]);
    put(&store, Table::SafetyLanes, &[("1", "ack")]);
    append(&store, body(1));
    store.index_transactions(Height(7), &[id(1), id(2)]);
    drop(store);

    let store = open(home.path());
    assert_everything(&store);
    assert_eq!(store.indexed_height(), Height(7));
    let found = store.transaction(&id(2)).expect("readable");
    assert_eq!(
        found,
        Some(TxPosition {
            height: Height(7),
            position: 1
        })
    );
    assert_eq!(store.transaction(&id(3)).expect("readable"), None);
}

#[test]
fn requests_still_queued_are_written_by_an_orderly_end() {
    let home = tempfile::tempdir().expect("temporary directory");
    let store = open(home.path());
    let (durable, wait) = mpsc::channel();
    for number in 0..200_u32 {
        let mut changes = Changes::new(Database::Safety);
        changes.put(Table::SafetyConsensus, number.to_string(), "vote");
        let durable = durable.clone();
        store.commit(
            changes,
            Box::new(move || durable.send(()).expect("the test waits")),
        );
    }
    drop((store, durable));
    assert_eq!(wait.iter().count(), 200);
    assert_eq!(
        text(&open(home.path()), Table::SafetyConsensus, "199").as_deref(),
        Some("vote")
    );
}

/// The files of a store that is still open are what a killed process leaves behind.
#[test]
fn everything_reported_durable_survives_a_kill() {
    let home = tempfile::tempdir().expect("temporary directory");
    let store = open(&home.path().join("running"));
    put(&store, Table::Blocks, &[("1", "block")]);
    put(&store, Table::SafetyLanes, &[("1", "ack")]);
    append(&store, body(1));
    store.index_transactions(Height(7), &[id(1)]);
    copy(&home.path().join("running"), &home.path().join("killed"));

    let restarted = open(&home.path().join("killed"));
    assert_everything(&restarted);
    assert_eq!(
        restarted.indexed_height(),
        Height(0),
        "the node indexes these blocks again"
    );
    assert_eq!(restarted.transaction(&id(1)).expect("readable"), None);
}

#[test]
fn a_full_transaction_buffer_becomes_files_that_survive() {
    let home = tempfile::tempdir().expect("temporary directory");
    let config = DiskConfig {
        tx_index_entries: 1000,
        ..DiskConfig::default()
    };
    let store = DiskStore::open(home.path(), &config, hooks()).expect("opened");
    for height in 1..=35 {
        let ids: Vec<_> = (0..100)
            .map(|position| id(height * 100 + position))
            .collect();
        store.index_transactions(Height(height), &ids);
    }
    drop(store);
    let store = open(home.path());
    assert_eq!(store.indexed_height(), Height(35));
    for number in 100..3600 {
        let expected = TxPosition {
            height: Height(number / 100),
            position: u32::try_from(number % 100).expect("small"),
        };
        assert_eq!(
            store.transaction(&id(number)).expect("readable"),
            Some(expected)
        );
    }
    assert_eq!(store.transaction(&id(3600)).expect("readable"), None);
}

#[test]
fn the_oldest_part_of_the_transaction_index_makes_room() {
    let home = tempfile::tempdir().expect("temporary directory");
    let config = DiskConfig {
        tx_index_entries: 1000,
        tx_index_bytes_max: 100_000,
        ..DiskConfig::default()
    };
    for restart in 0..2 {
        let store = DiskStore::open(home.path(), &config, hooks()).expect("opened");
        for height in restart * 10 + 1..=restart * 10 + 10 {
            let ids: Vec<_> = (0..1000)
                .map(|position| id(height * 1000 + position))
                .collect();
            store.index_transactions(Height(height), &ids);
        }
        drop(store);
    }
    let store = DiskStore::open(home.path(), &config, hooks()).expect("opened");
    let find = |number| store.transaction(&id(number)).expect("readable");
    assert_eq!(find(1000), None);
    assert_eq!(
        find(20_999),
        Some(TxPosition {
            height: Height(20),
            position: 999
        })
    );
    assert!(store.stats().expect("readable").main_bytes < 600_000);
}

#[test]
fn a_second_user_of_a_directory_is_refused() {
    let home = tempfile::tempdir().expect("temporary directory");
    let store = open(home.path());
    let error = DiskStore::open(home.path(), &DiskConfig::default(), hooks()).expect_err("in use");
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    drop(store);
    open(home.path());
}

#[test]
fn an_unknown_layout_is_refused_and_left_alone() {
    let home = tempfile::tempdir().expect("temporary directory");
    drop(open(home.path()));
    fs::write(home.path().join("FORMAT"), "3\n").expect("writable");
    let error = DiskStore::open(home.path(), &DiskConfig::default(), hooks()).expect_err("unknown");
    assert!(
        matches!(&error, OpenError::Format { found, supported: 2, .. } if found == "3"),
        "{error}"
    );
    fs::remove_file(home.path().join("FORMAT")).expect("removed");
    let error =
        DiskStore::open(home.path(), &DiskConfig::default(), hooks()).expect_err("unmarked");
    assert!(matches!(error, OpenError::FormatMissing { .. }), "{error}");
}

#[test]
fn a_damaged_database_does_not_open() {
    let home = tempfile::tempdir().expect("temporary directory");
    let store = open(home.path());
    put(&store, Table::SafetyConsensus, &[("1", "vote")]);
    drop(store);
    let current = home.path().join("safety").join("CURRENT");
    fs::write(current, "MANIFEST-999999\n").expect("writable");
    let error = DiskStore::open(home.path(), &DiskConfig::default(), hooks()).expect_err("damaged");
    assert!(matches!(error, OpenError::Storage(_)), "{error}");
}

#[test]
fn a_checkpoint_holds_blocks_and_bodies_but_no_safety_records() {
    let home = tempfile::tempdir().expect("temporary directory");
    let target = home.path().join("snapshot");
    let store = open(&home.path().join("data"));
    put(&store, Table::Blocks, &[("1", "block")]);
    put(&store, Table::SafetyLanes, &[("1", "ack")]);
    append(&store, body(1));
    store.checkpoint(&target).expect("written");
    assert!(
        store.checkpoint(&target).is_err(),
        "never over something that exists"
    );
    append(&store, body(2));
    put(&store, Table::Blocks, &[("2", "later")]);

    assert!(!target.join("safety").exists());
    let copy = open(&target);
    assert_eq!(text(&copy, Table::Blocks, "1").as_deref(), Some("block"));
    assert_eq!(text(&copy, Table::Blocks, "2"), None);
    assert_eq!(text(&copy, Table::SafetyLanes, "1"), None);
    assert!(copy.has_body(&body(1).digest).expect("readable"));
    assert!(!copy.has_body(&body(2).digest).expect("readable"));
}

#[test]
fn a_range_deleted_stays_deleted_after_a_restart() {
    let home = tempfile::tempdir().expect("temporary directory");
    let store = open(home.path());
    put(&store, Table::Blocks, &[("1", "a"), ("2", "b"), ("3", "c")]);
    let mut changes = Changes::new(Database::Main);
    changes.delete_range(Table::Blocks, "1", "3");
    commit(&store, changes);
    drop(store);
    let store = open(home.path());
    assert_eq!(text(&store, Table::Blocks, "2"), None);
    assert_eq!(text(&store, Table::Blocks, "3").as_deref(), Some("c"));
}

/// An old copy of the database, a lost one, lost segments: whatever is missing of what was synced, the store
/// says so instead of going on.
#[test]
fn a_store_that_lost_synced_records_does_not_open_until_told_to() {
    let home = tempfile::tempdir().expect("temporary directory");
    let running = home.path().join("running");
    let store = open(&running);
    put(&store, Table::SafetyConsensus, &[("1", "vote")]);
    append(&store, body(1));
    copy(&running, &home.path().join("earlier"));
    put(&store, Table::SafetyConsensus, &[("1", "later vote")]);
    append(&store, body(2));
    drop(store);

    for log in ["safety", "bodies"] {
        for earlier in [true, false] {
            let damaged = home.path().join(format!("{log}-{earlier}"));
            copy(&running, &damaged);
            fs::remove_dir_all(damaged.join(log)).expect("removed");
            if earlier {
                copy(&home.path().join("earlier").join(log), &damaged.join(log));
            }
            for _ in 0..2 {
                let error = DiskStore::open(&damaged, &DiskConfig::default(), hooks())
                    .expect_err("records are missing");
                assert!(
                    matches!(&error, OpenError::Storage(StorageError::RecordsLost { log: lost, .. }) if lost.ends_with(log)),
                    "{error}"
                );
            }
            forget_synced(&damaged).expect("as asked");
            drop(open(&damaged));
        }
    }
    assert_eq!(
        text(&open(&running), Table::SafetyConsensus, "1").as_deref(),
        Some("later vote")
    );
}
