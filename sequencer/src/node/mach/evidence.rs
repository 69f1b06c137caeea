//! Keeps what proves somebody wrong.
//!
//! ```text
//! key   = kind u8 ‖ operator u32 or height u64                      one entry per kind and culprit
//! value = encoding of the evidence (`squad_mach::Evidence`), or of an own divergence
//! own divergence = certificate of the quorum ‖ own statement, as it would be signed
//! ```
//!
//! The first proof against an operator is kept and later ones of the same kind are not: one is enough,
//! and a faulty operator must not fill the disk.

use bytes::Bytes;
use squad_mach::{Certificate, Evidence, Statement};
use squad_primitives::{Height, OperatorId};
use squad_storage::{Changes, Database, StorageError, Store, Table};
use std::sync::Arc;

const DOUBLE_ATTESTATION: u8 = 1;
const CONFLICTING_CERTIFICATES: u8 = 2;
const CONTRADICTED: u8 = 3;
const OWN_DIVERGENCE: u8 = 4;
const OTHER: u8 = 5;

/// Writes evidence.
#[derive(Debug)]
pub(super) struct Keeper {
    store: Arc<dyn Store>,
}

impl Keeper {
    pub(super) const fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Keeps evidence against these operators about a height; returns its bytes.
    pub(super) fn keep(
        &self,
        evidence: &Evidence,
        guilty: &[OperatorId],
        height: Height,
    ) -> Result<Bytes, StorageError> {
        let bytes = Bytes::from(evidence.to_bytes());
        let kind = match evidence {
            Evidence::DoubleAttestation(_) => DOUBLE_ATTESTATION,
            Evidence::ConflictingCertificates(_) => CONFLICTING_CERTIFICATES,
            Evidence::Contradicted(_) => CONTRADICTED,
            _ => OTHER,
        };
        match (kind, guilty.first()) {
            (DOUBLE_ATTESTATION | CONTRADICTED, Some(operator)) => {
                self.put(kind, &operator.0.to_be_bytes(), &bytes)?;
            }
            _ => self.put(kind, &height.0.to_be_bytes(), &bytes)?,
        }
        Ok(bytes)
    }

    /// Keeps the certificate that contradicts this node, and what this node computed.
    pub(super) fn keep_divergence(
        &self,
        certificate: &Certificate,
        ours: &Statement,
    ) -> Result<(), StorageError> {
        let mut bytes = certificate.to_bytes();
        bytes.extend_from_slice(&ours.message());
        let height = certificate.statement.height.0.to_be_bytes();
        self.put(OWN_DIVERGENCE, &height, &Bytes::from(bytes))
    }

    fn put(&self, kind: u8, subject: &[u8], value: &Bytes) -> Result<(), StorageError> {
        let key = [&[kind], subject].concat();
        if self.store.get(Table::MachEvidence, &key)?.is_none() {
            let mut changes = Changes::new(Database::Main);
            changes.put(Table::MachEvidence, key, value.clone());
            self.store.commit(changes, Box::new(|| {}));
        }
        Ok(())
    }
}
