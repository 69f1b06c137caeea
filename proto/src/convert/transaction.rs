//! Transactions and packed ids.

use super::{ConvertError, Problem, packed};
use crate::v1;
use bytes::Bytes;
use squad_primitives::{Digest, Height, RollupId, Transaction, TxKind};

impl From<TxKind> for v1::TransactionKind {
    fn from(kind: TxKind) -> Self {
        match kind {
            TxKind::Plain => Self::Plain,
            TxKind::Sealed => Self::Sealed,
        }
    }
}

fn kind(value: i32) -> Result<TxKind, ConvertError> {
    match v1::TransactionKind::try_from(value) {
        Ok(v1::TransactionKind::Plain) => Ok(TxKind::Plain),
        Ok(v1::TransactionKind::Sealed) => Ok(TxKind::Sealed),
        Ok(v1::TransactionKind::Unspecified) | Err(_) => {
            Err(ConvertError::new("kind", Problem::UnknownValue(value)))
        }
    }
}

impl From<Transaction> for v1::Transaction {
    fn from(transaction: Transaction) -> Self {
        Self {
            rollup_id: transaction.rollup.0,
            payload: transaction.payload,
            kind: v1::TransactionKind::from(transaction.kind).into(),
            expiry_height: transaction.expiry.0,
        }
    }
}

/// An expiry height of 0 stays 0: the server replaces it.
impl TryFrom<v1::Transaction> for Transaction {
    type Error = ConvertError;

    fn try_from(message: v1::Transaction) -> Result<Self, ConvertError> {
        Ok(Self {
            rollup: RollupId(message.rollup_id),
            expiry: Height(message.expiry_height),
            kind: kind(message.kind)?,
            payload: message.payload,
        })
    }
}

/// As for [`v1::Transaction`]; the caller keeps `client_seq`.
impl TryFrom<v1::StreamTransaction> for Transaction {
    type Error = ConvertError;

    fn try_from(message: v1::StreamTransaction) -> Result<Self, ConvertError> {
        Ok(Self {
            rollup: RollupId(message.rollup_id),
            expiry: Height(message.expiry_height),
            kind: kind(message.kind)?,
            payload: message.payload,
        })
    }
}

/// Digests one after the other, as fields like `tx_ids` hold them.
#[must_use]
pub fn digests_packed<'a>(digests: impl IntoIterator<Item = &'a Digest>) -> Bytes {
    let digests = digests.into_iter();
    let mut bytes = Vec::with_capacity(digests.size_hint().0 * 32);
    for digest in digests {
        bytes.extend_from_slice(&digest.0);
    }
    bytes.into()
}

/// Reads at most `limit` packed digests.
///
/// # Errors
/// A length that is no multiple of 32, or too many.
pub fn digests_unpacked(
    field: &'static str,
    limit: usize,
    bytes: &[u8],
) -> Result<Vec<Digest>, ConvertError> {
    Ok(packed(field, limit, bytes)?.map(Digest).collect())
}
