//! Every store behaves the same.

use std::sync::{Arc, Mutex, mpsc};

use squad_primitives::Height;
use squad_storage::{
    Changes, Database, Direction, Entry, MemoryStore, Scan, Store, Table, TxPosition,
};

use crate::support::{DATABASES, append, body, commit, hooks, id, put, text};

/// Runs a property against each kind of store.
fn on_every_store(property: fn(&dyn Store)) {
    property(&MemoryStore::new(hooks()));
    #[cfg(feature = "rocksdb")]
    {
        let home = tempfile::tempdir().expect("temporary directory");
        let config = squad_storage::DiskConfig::default();
        let store = squad_storage::DiskStore::open(home.path(), &config, hooks()).expect("opened");
        property(&store);
    }
}

fn keys(entries: &[Entry]) -> Vec<&str> {
    entries
        .iter()
        .map(|(key, _)| std::str::from_utf8(key).expect("text"))
        .collect()
}

#[test]
fn what_is_put_is_found_in_its_table_only() {
    on_every_store(|store| {
        for table in Table::ALL {
            put(store, table, &[("key", table.name())]);
        }
        for table in Table::ALL {
            assert_eq!(
                text(store, table, "key").as_deref(),
                Some(table.name()),
                "{table:?}"
            );
            assert_eq!(text(store, table, "other"), None);
        }
    });
}

#[test]
fn changes_apply_in_their_order() {
    on_every_store(|store| {
        let mut changes = Changes::new(Database::Main);
        changes.put(Table::Meta, "a", "1");
        changes.put(Table::Meta, "a", "2");
        changes.put(Table::Meta, "b", "3");
        changes.delete(Table::Meta, "b");
        changes.put(Table::Meta, "c", "4");
        changes.delete_range(Table::Meta, "c", "d");
        changes.put(Table::Meta, "c", "5");
        changes.delete(Table::Meta, "absent");
        changes.delete_range(Table::Meta, "z", "a");
        commit(store, changes);
        assert_eq!(text(store, Table::Meta, "a").as_deref(), Some("2"));
        assert_eq!(text(store, Table::Meta, "b"), None);
        assert_eq!(text(store, Table::Meta, "c").as_deref(), Some("5"));
    });
}

#[test]
fn scans_are_sorted_bounded_and_run_both_ways() {
    on_every_store(|store| {
        put(
            store,
            Table::Blocks,
            &[("a", ""), ("c", ""), ("b", ""), ("e", ""), ("d", "")],
        );
        put(store, Table::Lanes, &[("bb", "")]);
        let scan = |from: &'static str, to: Option<&'static str>, direction, limit| {
            let scan = Scan {
                from: from.as_bytes(),
                to: to.map(str::as_bytes),
                direction,
                limit,
            };
            store.scan(Table::Blocks, scan).expect("readable")
        };
        use Direction::{Backward, Forward};
        assert_eq!(keys(&scan("", None, Forward, 9)), ["a", "b", "c", "d", "e"]);
        assert_eq!(keys(&scan("b", Some("d"), Forward, 9)), ["b", "c"]);
        assert_eq!(keys(&scan("bb", Some("dd"), Forward, 9)), ["c", "d"]);
        assert_eq!(keys(&scan("", None, Backward, 2)), ["e", "d"]);
        assert_eq!(keys(&scan("b", Some("d"), Backward, 9)), ["c", "b"]);
        assert_eq!(keys(&scan("b", None, Forward, 0)), [""; 0]);
        assert_eq!(keys(&scan("d", Some("b"), Forward, 9)), [""; 0]);
        assert_eq!(keys(&scan("b", Some("b"), Backward, 9)), [""; 0]);
    });
}

#[test]
fn completions_run_in_the_order_of_the_requests() {
    on_every_store(|store| {
        for database in DATABASES {
            let table = match database {
                Database::Main => Table::Meta,
                Database::Safety => Table::SafetyConsensus,
            };
            let order = Arc::new(Mutex::new(Vec::new()));
            let (last, wait) = mpsc::channel();
            for number in 0..500_u32 {
                let mut changes = Changes::new(database);
                changes.put(table, "counter", number.to_string());
                let (order, last) = (Arc::clone(&order), last.clone());
                store.commit(
                    changes,
                    Box::new(move || {
                        order.lock().expect("not poisoned").push(number);
                        if number == 499 {
                            last.send(()).expect("the test waits");
                        }
                    }),
                );
            }
            wait.recv().expect("reported durable");
            assert_eq!(
                *order.lock().expect("not poisoned"),
                (0..500).collect::<Vec<_>>()
            );
            assert_eq!(text(store, table, "counter").as_deref(), Some("499"));
        }
    });
}

#[test]
fn an_empty_commit_is_reported_too() {
    on_every_store(|store| commit(store, Changes::new(Database::Safety)));
}

#[test]
#[should_panic(expected = "is not in database")]
fn changes_refuse_a_table_of_the_other_database() {
    Changes::new(Database::Main).put(Table::SafetyLanes, "key", "value");
}

#[test]
fn bodies_are_stored_visited_and_pruned() {
    on_every_store(|store| {
        for number in 1..=5 {
            append(store, body(number));
        }
        let expected = body(3);
        let stored = store
            .body(&expected.digest)
            .expect("readable")
            .expect("stored");
        assert_eq!(
            (stored.tag, stored.header, stored.body),
            (expected.tag, expected.header, expected.body)
        );
        assert!(store.has_body(&body(1).digest).expect("readable"));
        assert!(!store.has_body(&body(9).digest).expect("readable"));
        assert_eq!(store.body(&body(9).digest).expect("readable"), None);

        let mut visited = Vec::new();
        store
            .visit_bodies(Height(3), &mut |head| {
                visited.push((head.tag.0, head.body_bytes))
            })
            .expect("readable");
        assert_eq!(visited, [(3, 300), (4, 300), (5, 300)]);

        store
            .prune_bodies(Height(1), &mut |_| true)
            .expect("prunes");
        assert!(
            store.has_body(&body(1).digest).expect("readable"),
            "its tag is not below"
        );
        store
            .prune_bodies(Height(9), &mut |_| false)
            .expect("prunes");
        assert!(
            store.has_body(&body(1).digest).expect("readable"),
            "it was not removable"
        );
    });
}

#[test]
fn indexed_transactions_are_found() {
    on_every_store(|store| {
        store.index_transactions(Height(1), &[id(1), id(2)]);
        store.index_transactions(Height(2), &[]);
        store.index_transactions(Height(3), &[id(3)]);
        let find = |number| store.transaction(&id(number)).expect("readable");
        let at = |height, position| {
            Some(TxPosition {
                height: Height(height),
                position,
            })
        };
        assert_eq!(
            [find(1), find(2), find(3), find(4)],
            [at(1, 0), at(1, 1), at(3, 0), None]
        );
    });
}

#[test]
fn stats_count_what_was_stored() {
    on_every_store(|store| {
        put(store, Table::Blocks, &[("1", "block")]);
        append(store, body(1));
        store.index_transactions(Height(1), &[id(1)]);
        let stats = store.stats().expect("readable");
        assert!(stats.main_bytes >= 6, "{stats:?}");
        assert!(stats.body_bytes >= 310, "{stats:?}");
        assert_eq!(stats.queued_bytes, 0);
        assert_eq!(stats.unflushed_transactions, 1);
    });
}
