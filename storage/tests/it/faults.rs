//! The faults of the memory store are those of a disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use squad_storage::{Changes, Database, MemoryStore, OnDurable, Store, Table};

use crate::support::{body, hooks, text};

fn change(number: u32) -> Changes {
    let mut changes = Changes::new(Database::Safety);
    changes.put(Table::SafetyConsensus, number.to_string(), "vote");
    changes
}

fn count(counter: &Arc<AtomicUsize>) -> OnDurable {
    let counter = Arc::clone(counter);
    Box::new(move || {
        counter.fetch_add(1, Ordering::Relaxed);
    })
}

#[test]
fn held_writes_are_neither_visible_nor_reported_until_released() {
    let store = MemoryStore::new(hooks());
    let durable = Arc::new(AtomicUsize::new(0));
    store.hold();
    for number in 0..3 {
        store.commit(change(number), count(&durable));
    }
    assert_eq!((store.waiting(), durable.load(Ordering::Relaxed)), (3, 0));
    assert_eq!(text(&store, Table::SafetyConsensus, "0"), None);
    store.release(2);
    assert_eq!((store.waiting(), durable.load(Ordering::Relaxed)), (1, 2));
    assert!(text(&store, Table::SafetyConsensus, "1").is_some());
    assert_eq!(text(&store, Table::SafetyConsensus, "2"), None);
    store.release(usize::MAX);
    store.commit(change(3), count(&durable));
    assert_eq!((store.waiting(), durable.load(Ordering::Relaxed)), (0, 4));
}

#[test]
fn a_crash_loses_at_most_what_was_not_reported() {
    for kept in 0..=3 {
        let store = MemoryStore::new(hooks());
        let durable = Arc::new(AtomicUsize::new(0));
        store.commit(change(0), count(&durable));
        store.append_body(body(1), count(&durable));
        store.hold();
        store.commit(change(1), count(&durable));
        store.append_body(body(2), count(&durable));
        store.commit(change(2), count(&durable));
        let restarted = store.crash(kept);
        assert!(text(&restarted, Table::SafetyConsensus, "0").is_some());
        assert!(restarted.has_body(&body(1).digest).expect("readable"));
        assert_eq!(
            text(&restarted, Table::SafetyConsensus, "1").is_some(),
            kept >= 1
        );
        assert_eq!(
            restarted.has_body(&body(2).digest).expect("readable"),
            kept >= 2
        );
        assert_eq!(
            text(&restarted, Table::SafetyConsensus, "2").is_some(),
            kept >= 3
        );
        store.release(usize::MAX);
        assert_eq!(
            durable.load(Ordering::Relaxed),
            2,
            "the old process reports nothing more"
        );
    }
}

#[test]
fn after_a_failed_write_nothing_is_reported_durable() {
    let fatal = hooks();
    let store = MemoryStore::new(fatal.clone());
    let durable = Arc::new(AtomicUsize::new(0));
    store.commit(change(0), count(&durable));
    store.fail_next_write();
    store.commit(change(1), count(&durable));
    store.commit(change(2), count(&durable));
    store.append_body(body(1), count(&durable));
    assert_eq!(durable.load(Ordering::Relaxed), 1);
    assert_eq!(fatal.errors(), ["injected write failure"]);
    assert_eq!(text(&store, Table::SafetyConsensus, "2"), None);
}
