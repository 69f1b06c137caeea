//! What the tests share.

use std::sync::{Arc, Mutex, mpsc};

use bytes::Bytes;
use squad_primitives::{Digest, Height};
use squad_storage::{Changes, Database, Hooks, NewBody, StorageError, Store, Table};

#[derive(Default)]
pub(crate) struct Fatal(Mutex<Vec<String>>);

impl Fatal {
    pub(crate) fn errors(&self) -> Vec<String> {
        self.0.lock().expect("not poisoned").clone()
    }
}

impl Hooks for Fatal {
    fn on_fatal(&self, error: StorageError) {
        self.0.lock().expect("not poisoned").push(error.to_string());
    }
}

pub(crate) fn hooks() -> Arc<Fatal> {
    Arc::new(Fatal::default())
}

/// Commits and waits until it is durable.
pub(crate) fn commit(store: &dyn Store, changes: Changes) {
    let (durable, wait) = mpsc::channel();
    store.commit(
        changes,
        Box::new(move || durable.send(()).expect("the test waits")),
    );
    wait.recv().expect("reported durable");
}

pub(crate) fn put(store: &dyn Store, table: Table, entries: &[(&str, &str)]) {
    let mut changes = Changes::new(table.database());
    for (key, value) in entries {
        changes.put(table, *key, Bytes::copy_from_slice(value.as_bytes()));
    }
    commit(store, changes);
}

pub(crate) fn append(store: &dyn Store, body: NewBody) {
    let (durable, wait) = mpsc::channel();
    store.append_body(
        body,
        Box::new(move || durable.send(()).expect("the test waits")),
    );
    wait.recv().expect("reported durable");
}

pub(crate) fn body(number: u8) -> NewBody {
    NewBody {
        digest: Digest([number; 32]),
        tag: Height(u64::from(number)),
        header: Bytes::from(vec![number; 10]),
        body: Bytes::from(vec![number; 300]),
    }
}

pub(crate) fn id(number: u64) -> Digest {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    Digest(bytes)
}

pub(crate) fn text(store: &dyn Store, table: Table, key: &str) -> Option<String> {
    let value = store.get(table, key.as_bytes()).expect("readable")?;
    Some(String::from_utf8(value.to_vec()).expect("text"))
}

pub(crate) const DATABASES: [Database; 2] = [Database::Main, Database::Safety];
