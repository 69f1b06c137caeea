//! What operators agree on after executing a block, and the bytes that they sign.
//!
//! ```text
//! result_root = SHA-256 tree over { order_root, opened_root, ledger_root, rollups_root }
//! message     = tag ‖ network_id ‖ epoch u64 ‖ height u64 ‖ block_hash ‖ result_root     144 bytes
//! ```
//!
//! Everything is big-endian. The leaf of a root holds its number, so that one root can't stand for
//! another. The message binds what the tree does not.

use crate::domain::{self, TAG_BYTES};
use crate::tree::{self, Path, Tree};
use crate::wire;
use squad_primitives::codec::{DecodeError, Reader};
use squad_primitives::{Digest, Epoch, Height, NetworkId};

/// Length of the signed message.
pub const MESSAGE_BYTES: usize = TAG_BYTES + 32 + 8 + 8 + 32 + 32;

/// Encoded length of a [`Statement`] without its tag.
pub const STATEMENT_BYTES: usize = MESSAGE_BYTES - TAG_BYTES;

/// The roots under a result, in the order of their leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Root {
    /// The committed order: root over the rollups' lists (`squad_primitives::order`).
    Order = 0,
    /// The lists after opening sealed transactions; equal to the order root while nothing is sealed.
    Opened = 1,
    /// The ledger after the block ([`crate::ledger`]).
    Ledger = 2,
    /// The rollups after the block ([`crate::rollups`]).
    Rollups = 3,
}

impl Root {
    /// All roots, by leaf.
    pub const ALL: [Self; 4] = [Self::Order, Self::Opened, Self::Ledger, Self::Rollups];

    fn leaf(self, value: &Digest) -> Digest {
        let mut data = [0; 33];
        if let Some((number, root)) = data.split_first_mut() {
            *number = self as u8;
            root.copy_from_slice(&value.0);
        }
        tree::leaf(domain::RESULT_LEAF, &data)
    }
}

/// The result of a block. Each honest operator computes the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockResult {
    /// Network of the block.
    pub network: NetworkId,
    /// Epoch of the block; its committee signs.
    pub epoch: Epoch,
    /// Height of the block.
    pub height: Height,
    /// Hash of the block.
    pub block: Digest,
    /// See [`Root::Order`].
    pub order_root: Digest,
    /// See [`Root::Opened`].
    pub opened_root: Digest,
    /// See [`Root::Ledger`].
    pub ledger_root: Digest,
    /// See [`Root::Rollups`].
    pub rollups_root: Digest,
}

impl BlockResult {
    const fn value(&self, root: Root) -> &Digest {
        match root {
            Root::Order => &self.order_root,
            Root::Opened => &self.opened_root,
            Root::Ledger => &self.ledger_root,
            Root::Rollups => &self.rollups_root,
        }
    }

    fn tree(&self) -> Tree {
        Tree::new(Root::ALL.map(|root| root.leaf(self.value(root))).to_vec())
    }

    /// Root over the four roots.
    #[must_use]
    pub fn root(&self) -> Digest {
        self.tree().root()
    }

    /// What is signed about this result.
    #[must_use]
    pub fn statement(&self) -> Statement {
        Statement {
            network: self.network,
            epoch: self.epoch,
            height: self.height,
            block: self.block,
            result_root: self.root(),
        }
    }

    /// Shows that the result contains one of its roots.
    #[must_use]
    pub fn proof(&self, root: Root) -> ResultProof {
        let path = self.tree().path(root as usize);
        ResultProof {
            value: *self.value(root),
            siblings: path.map_or_else(Vec::new, |path| path.siblings),
        }
    }
}

/// One root of a result with its path to the result root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultProof {
    /// The root.
    pub value: Digest,
    /// Its two siblings on the way up.
    pub siblings: Vec<Digest>,
}

impl ResultProof {
    /// The result root that the proof leads to, if `value` stands at the place of `root`.
    #[must_use]
    pub fn result_root(&self, root: Root) -> Option<Digest> {
        let path = Path {
            index: root as u32,
            count: 4,
            siblings: self.siblings.clone(),
        };
        path.root(&root.leaf(&self.value))
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.value.0);
        for sibling in self.siblings.iter().take(2) {
            out.extend_from_slice(&sibling.0);
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            value: wire::digest(reader, "result proof")?,
            siblings: vec![
                wire::digest(reader, "result proof")?,
                wire::digest(reader, "result proof")?,
            ],
        })
    }
}

/// What an operator signs about a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Statement {
    /// Network of the block.
    pub network: NetworkId,
    /// Epoch of the block.
    pub epoch: Epoch,
    /// Height of the block.
    pub height: Height,
    /// Hash of the block.
    pub block: Digest,
    /// Root of its result.
    pub result_root: Digest,
}

impl Statement {
    /// The signed bytes of an attestation.
    #[must_use]
    pub fn message(&self) -> [u8; MESSAGE_BYTES] {
        let mut bytes = Vec::with_capacity(MESSAGE_BYTES);
        bytes.extend_from_slice(&domain::padded(domain::ATTESTATION));
        self.encode(&mut bytes);
        // The fields have exactly this length.
        bytes.try_into().unwrap_or([0; MESSAGE_BYTES])
    }

    /// Whether two statements are about one block height.
    #[must_use]
    pub fn same_height(&self, other: &Self) -> bool {
        (self.network, self.epoch, self.height) == (other.network, other.epoch, other.height)
    }

    /// Appends the fields of the message after its tag.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.network.0);
        out.extend_from_slice(&self.epoch.0.to_be_bytes());
        out.extend_from_slice(&self.height.0.to_be_bytes());
        out.extend_from_slice(&self.block.0);
        out.extend_from_slice(&self.result_root.0);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            network: wire::digest(reader, "network id")?,
            epoch: Epoch(wire::long(reader, "epoch")?),
            height: Height(wire::long(reader, "height")?),
            block: wire::digest(reader, "block hash")?,
            result_root: wire::digest(reader, "result root")?,
        })
    }
}
