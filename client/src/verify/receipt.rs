//! An operator's promise to deliver a transaction.

use super::header::part;
use crate::{TrustedNetwork, v1};
use squad_primitives::{Digest, Ed25519Verifier, SignedHeader, TxId, merkle::Path};
use squad_proto::convert::{ConvertError, Problem};

/// A promise that holds: the operator signed a batch with the transaction in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedReceipt {
    /// The transaction.
    pub tx_id: TxId,
    /// The batch, signed by the owner of its lane.
    pub header: SignedHeader,
    /// Place of the transaction in the batch.
    pub index: u32,
}

/// Why a receipt promises nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// A field is missing or malformed.
    #[error("receipt: {0}")]
    Malformed(#[from] ConvertError),
    /// It is for another transaction.
    #[error("receipt: for transaction {found}, expected {expected}")]
    OtherTransaction {
        /// Transaction of the receipt.
        found: TxId,
        /// Transaction asked about.
        expected: TxId,
    },
    /// The owner of the lane is no operator, or did not sign.
    #[error("receipt: the batch is not signed by the owner of its lane")]
    BadSignature,
    /// The transaction is not under the batch's root.
    #[error("receipt: the transaction is not in the batch")]
    NotInBatch,
}

impl TrustedNetwork {
    /// Checks a receipt for a transaction.
    ///
    /// # Errors
    /// See [`ReceiptError`].
    pub fn verify_receipt(
        &self,
        receipt: &v1::Receipt,
        expected: TxId,
    ) -> Result<VerifiedReceipt, ReceiptError> {
        let found = digest("tx_id", &receipt.tx_id)?;
        if found != expected {
            return Err(ReceiptError::OtherTransaction { found, expected });
        }
        let header: SignedHeader = part("header", &receipt.header)?;
        let path: Path = part("path", &receipt.path)?;
        let committee = self.committee(header.header.epoch);
        if !header.verify(&self.id(), &committee, &Ed25519Verifier) {
            return Err(ReceiptError::BadSignature);
        }
        let inside = path.root(&found) == Some(header.header.body_root)
            && path.count == header.header.tx_count;
        match inside {
            true => Ok(VerifiedReceipt {
                tx_id: found,
                header,
                index: path.index,
            }),
            false => Err(ReceiptError::NotInBatch),
        }
    }
}

/// Reads a digest of exactly 32 bytes.
pub(crate) fn digest(field: &'static str, bytes: &[u8]) -> Result<Digest, ConvertError> {
    Digest::try_from(bytes).map_err(|_| ConvertError {
        field,
        problem: Problem::Length {
            found: bytes.len(),
            expected: 32,
        },
    })
}
