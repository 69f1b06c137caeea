//! The entries that the result's `ledger_root` stands for.
//!
//! The ledger does not exist yet; what light clients need of it is the next committee. So this tree holds
//! few entries (key, value), sorted by key, and a proof shows one entry. The proof carries a version: the
//! ledger's own tree comes under the next one, with the same keys, and nothing else changes for a verifier.
//!
//! ```text
//! leaf data = key length u16 ‖ key ‖ value length u16 ‖ value
//! committee(e)  key = "committee/" ‖ e as u64      value = committee root
//! ```

use crate::tree::{self, Path, Tree};
use crate::{domain, wire};
use squad_primitives::codec::{DecodeError, Reader};
use squad_primitives::{Digest, Epoch};
use std::collections::BTreeMap;

const VERSION: u8 = 1;

/// Longest key or value.
pub const ENTRY_BYTES_MAX: usize = 1_024;

/// Key of an epoch's committee root.
#[must_use]
pub fn committee_key(epoch: Epoch) -> Vec<u8> {
    let mut key = b"committee/".to_vec();
    key.extend_from_slice(&epoch.0.to_be_bytes());
    key
}

fn leaf(key: &[u8], value: &[u8]) -> Digest {
    let mut data = Vec::with_capacity(4 + key.len() + value.len());
    for part in [key, value] {
        wire::put_count(&mut data, part.len());
        data.extend_from_slice(part);
    }
    tree::leaf(domain::LEDGER_LEAF, &data)
}

/// A key or value longer than [`ENTRY_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ledger entry: {0} bytes, at most {ENTRY_BYTES_MAX}")]
pub struct EntryTooLong(pub usize);

/// Entries after a block, with their tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerTree {
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    tree: Tree,
}

impl LedgerTree {
    /// Builds the tree.
    ///
    /// # Errors
    /// A key or value is too long.
    pub fn new(
        entries: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
    ) -> Result<Self, EntryTooLong> {
        let entries: BTreeMap<_, _> = entries.into_iter().collect();
        for part in entries.iter().flat_map(|(key, value)| [key, value]) {
            if part.len() > ENTRY_BYTES_MAX {
                return Err(EntryTooLong(part.len()));
            }
        }
        let leaves = entries.iter().map(|(key, value)| leaf(key, value));
        Ok(Self {
            tree: Tree::new(leaves.collect()),
            entries,
        })
    }

    /// The tree of epoch e as long as there is no ledger: it holds the root of committee e + 1.
    #[must_use]
    pub fn of_next_committee(next: Epoch, root: &Digest) -> Self {
        let entry = (committee_key(next), root.0.to_vec());
        // Both parts are short.
        Self::new([entry]).unwrap_or_default()
    }

    /// Root of the tree: [`crate::BlockResult::ledger_root`].
    #[must_use]
    pub fn root(&self) -> Digest {
        self.tree.root()
    }

    /// Value and proof of a key.
    #[must_use]
    pub fn prove(&self, key: &[u8]) -> Option<LedgerProof> {
        let index = self.entries.keys().position(|present| present == key)?;
        Some(LedgerProof {
            value: self.entries.get(key)?.clone(),
            path: self.tree.path(index)?,
        })
    }
}

/// A value with its path. The key is not part of it: the verifier names the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerProof {
    /// The value.
    pub value: Vec<u8>,
    /// Path of its leaf.
    pub path: Path,
}

impl LedgerProof {
    /// The ledger root that the proof leads to for `key`.
    #[must_use]
    pub fn root(&self, key: &[u8]) -> Option<Digest> {
        self.path.root(&leaf(key, &self.value))
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        wire::put_count(out, self.value.len());
        out.extend_from_slice(&self.value);
        self.path.encode(out);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        wire::version(reader, "ledger proof version", VERSION)?;
        let length = wire::count(reader, "ledger value", ENTRY_BYTES_MAX, 1)?;
        Ok(Self {
            value: reader.take("ledger value", length)?.to_vec(),
            path: Path::decode(reader)?,
        })
    }
}
