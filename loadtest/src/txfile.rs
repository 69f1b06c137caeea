//! Files of raw transactions, for the `file` workload.
//!
//! ```text
//! "squadtx1"                magic and version, 8 bytes
//! count                     u32, little-endian
//! unpacked length           u64, little-endian: length of the list below
//! digest                    32 bytes: keccak256 over the keccak256 hashes of all transactions, in order
//! raw DEFLATE (RFC 1951) of { length: u32 little-endian, bytes } * count
//! ```
//!
//! The digest makes a damaged or edited file visible: reading recomputes every transaction's hash.

use crate::eth::keccak256;
use bytes::Bytes;
use miniz_oxide::{deflate::compress_to_vec, inflate::decompress_to_vec_with_limit};

const MAGIC: &[u8; 8] = b"squadtx1";
const HEADER_BYTES: usize = 8 + 4 + 8 + 32;

/// Largest list that a reader unpacks.
pub const UNPACKED_BYTES_MAX: u64 = 1 << 30;

/// Best compression of the format's encoder; files are written rarely.
const COMPRESSION_LEVEL: u8 = 10;

/// Why a file can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TxFileError {
    /// Other magic, or shorter than a header.
    #[error("transaction file: not a squadtx1 file")]
    Magic,
    /// Larger than [`UNPACKED_BYTES_MAX`].
    #[error("transaction file: unpacked length {0} is above the limit of {UNPACKED_BYTES_MAX}")]
    TooLarge(u64),
    /// The compressed part is damaged, or unpacks to another length.
    #[error("transaction file: the list can't be unpacked")]
    Damaged,
    /// The list does not hold the claimed number of transactions.
    #[error("transaction file: expected {expected} transactions, found {found}")]
    Count {
        /// Number in the header.
        expected: u32,
        /// Number in the list.
        found: usize,
    },
    /// A transaction was changed.
    #[error("transaction file: the hashes of its transactions do not match its digest")]
    Digest,
}

/// Packs transactions.
#[must_use]
pub fn write(transactions: &[Vec<u8>]) -> Vec<u8> {
    let mut list = Vec::new();
    for transaction in transactions {
        list.extend_from_slice(&(transaction.len() as u32).to_le_bytes());
        list.extend_from_slice(transaction);
    }
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&(transactions.len() as u32).to_le_bytes());
    out.extend_from_slice(&(list.len() as u64).to_le_bytes());
    out.extend_from_slice(&digest(transactions.iter().map(Vec::as_slice)));
    out.extend_from_slice(&compress_to_vec(&list, COMPRESSION_LEVEL));
    out
}

/// Unpacks transactions and checks them against the file's digest.
///
/// # Errors
/// See [`TxFileError`].
pub fn read(file: &[u8]) -> Result<Vec<Bytes>, TxFileError> {
    let (header, packed) = file
        .split_at_checked(HEADER_BYTES)
        .ok_or(TxFileError::Magic)?;
    if header[..8] != *MAGIC {
        return Err(TxFileError::Magic);
    }
    let count = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
    let mut length = [0; 8];
    length.copy_from_slice(&header[12..20]);
    let length = u64::from_le_bytes(length);
    if length > UNPACKED_BYTES_MAX {
        return Err(TxFileError::TooLarge(length));
    }
    let list =
        decompress_to_vec_with_limit(packed, length as usize).map_err(|_| TxFileError::Damaged)?;
    if list.len() as u64 != length {
        return Err(TxFileError::Damaged);
    }
    let transactions = split(&list.into())?;
    if transactions.len() != count as usize {
        return Err(TxFileError::Count {
            expected: count,
            found: transactions.len(),
        });
    }
    match digest(transactions.iter().map(Bytes::as_ref))[..] == header[20..] {
        true => Ok(transactions),
        false => Err(TxFileError::Digest),
    }
}

fn split(list: &Bytes) -> Result<Vec<Bytes>, TxFileError> {
    let mut transactions = Vec::new();
    let mut at = 0;
    while at < list.len() {
        let prefix = list.get(at..at + 4).ok_or(TxFileError::Damaged)?;
        let length = u32::from_le_bytes([prefix[0], prefix[1], prefix[2], prefix[3]]) as usize;
        let end = at + 4 + length;
        if length == 0 || end > list.len() {
            return Err(TxFileError::Damaged);
        }
        transactions.push(list.slice(at + 4..end));
        at = end;
    }
    Ok(transactions)
}

fn digest<'a>(transactions: impl Iterator<Item = &'a [u8]>) -> [u8; 32] {
    let hashes: Vec<u8> = transactions.flat_map(keccak256).collect();
    keccak256(&hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<Vec<u8>> {
        vec![vec![1, 2, 3], vec![0; 5_000], vec![9]]
    }

    #[test]
    fn what_is_written_is_read() {
        let read = read(&write(&sample())).unwrap();
        assert_eq!(read, sample());
    }

    #[test]
    fn every_kind_of_damage_is_noticed() {
        let file = write(&sample());
        assert_eq!(read(&file[..40]), Err(TxFileError::Magic));
        assert_eq!(read(b"squadtx2"), Err(TxFileError::Magic));
        let change = |at: usize, to: u8| {
            let mut file = file.clone();
            file[at] = to;
            read(&file)
        };
        let expected = 200;
        assert_eq!(
            change(8, 200),
            Err(TxFileError::Count { expected, found: 3 })
        );
        assert!(matches!(change(19, 1), Err(TxFileError::TooLarge(_))));
        assert_eq!(change(12, 0), Err(TxFileError::Damaged));
        assert_eq!(change(20, !file[20]), Err(TxFileError::Digest));
        assert_eq!(read(&file[..file.len() - 3]), Err(TxFileError::Damaged));
    }
}
