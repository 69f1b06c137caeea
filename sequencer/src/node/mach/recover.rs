//! What was signed and certified before this start.

use super::view::Finality;
use crate::node::NodeError;
use squad_mach::{BlsPublicKey, Certificate, MachCommittee, SignGuard};
use squad_storage::{Direction, Scan, StorageError, Store, Table};

/// Key in [`Table::SafetyMach`] of the one sign-once record.
pub(super) const RECORD_KEY: &[u8] = b"signed";

/// What the thread starts from.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// Knows what was signed.
    pub(crate) guard: SignGuard,
    /// The view for the rest of the node.
    pub(crate) finality: Finality,
}

/// Reads the sign-once record of a key, and the last certificate.
///
/// # Errors
/// The store can't be read, or the record is damaged or another key's: then nobody may sign.
pub(crate) fn recover(
    store: &dyn Store,
    committee: MachCommittee,
    key: &BlsPublicKey,
) -> Result<Recovered, NodeError> {
    let record = store.get(Table::SafetyMach, RECORD_KEY)?;
    let guard = SignGuard::restore(key, record.as_deref())?;
    let last = last_certificate(store)?;
    Ok(Recovered {
        guard,
        finality: Finality::new(committee, last),
    })
}

fn last_certificate(store: &dyn Store) -> Result<Option<Certificate>, StorageError> {
    let found = store.scan(
        Table::Certificates,
        Scan {
            from: &[],
            to: None,
            direction: Direction::Backward,
            limit: 1,
        },
    )?;
    found
        .first()
        .map(|(_, value)| {
            Certificate::from_bytes(value).map_err(|_| StorageError::CorruptEntry {
                table: Table::Certificates.name(),
            })
        })
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{finality_genesis, finality_key};
    use squad_mach::guard::Prepared;
    use squad_mach::{BlockResult, Refusal};
    use squad_primitives::{Digest, Epoch, Height};
    use squad_storage::{Changes, Database, Hooks, MemoryStore};
    use std::sync::Arc;

    #[derive(Debug)]
    struct NoFaults;

    impl Hooks for NoFaults {
        fn on_fatal(&self, error: StorageError) {
            panic!("{error}");
        }
    }

    fn result(height: u64, order: u8) -> BlockResult {
        BlockResult {
            network: Digest([1; 32]),
            epoch: Epoch(0),
            height: Height(height),
            block: Digest([2; 32]),
            order_root: Digest([order; 32]),
            opened_root: Digest([order; 32]),
            ledger_root: Digest([4; 32]),
            rollups_root: Digest([5; 32]),
        }
    }

    fn write(store: &MemoryStore, record: Vec<u8>) {
        let mut changes = Changes::new(Database::Safety);
        changes.put(Table::SafetyMach, RECORD_KEY, record);
        store.commit(changes, Box::new(|| {}));
    }

    /// What was signed before a restart binds after it; only the very same may be signed again.
    #[test]
    fn the_sign_once_record_is_read_back() {
        let store = MemoryStore::new(Arc::new(NoFaults));
        let committee = squad_mach::genesis::committee(&finality_genesis());
        let committee = committee.unwrap().unwrap();
        let (key, other) = (finality_key(0), finality_key(1));
        let start = |key: &BlsPublicKey| recover(&store, committee.clone(), key);

        let mut guard = start(key.public_key()).unwrap().guard;
        let signed = result(7, 3).statement();
        let Ok(Prepared::Record { ticket, record }) = guard.prepare(0, signed) else {
            panic!("nothing was signed before");
        };
        write(&store, record.clone());
        assert!(guard.durable(ticket).is_some());

        let mut guard = start(key.public_key()).unwrap().guard;
        assert_eq!(guard.last(), Some(&signed));
        let another = result(7, 9).statement();
        assert_eq!(
            guard.prepare(0, another).unwrap_err(),
            Refusal::Contradiction(Height(7))
        );
        assert!(matches!(guard.prepare(0, signed), Ok(Prepared::Ready(_))));

        let foreign = start(other.public_key()).unwrap_err();
        assert!(matches!(foreign, NodeError::FinalityRecord(_)), "{foreign}");
        write(&store, record[1..].to_vec());
        let damaged = start(key.public_key()).unwrap_err();
        assert!(matches!(damaged, NodeError::FinalityRecord(_)), "{damaged}");
    }
}
