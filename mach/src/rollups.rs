//! The rollup tree: one leaf per registered rollup, sorted by id, after every block.
//!
//! ```text
//! leaf data = version 1 ‖ rollup u64 ‖ last_height u64 ‖ number u64 ‖ tx_count u32 ‖ list_root ‖ previous
//! ```
//!
//! - `last_height` is the last block that held transactions of the rollup. Smaller than the certified
//!   height h, it shows that blocks above it up to h held none.
//! - `list_root` is the root over the ids of that block's transactions (`squad_primitives::merkle`).
//! - `previous` is the digest of the leaf before, zero for the first. So one certified leaf stands for
//!   **all** blocks of the rollup, and heights without a certificate of their own are proved by walking
//!   back from the next one: one leaf of 93 bytes per rollup block in between.
//!
//! Execution will add its roots to the leaf under another version.

use crate::tree::{self, Path, Tree};
use crate::{domain, wire};
use squad_primitives::codec::{DecodeError, Reader};
use squad_primitives::order::RollupLeaf;
use squad_primitives::{Digest, Height, RollupId};

const VERSION: u8 = 1;

/// Encoded length of a leaf.
pub const LEAF_BYTES: usize = 1 + 8 + 8 + 8 + 4 + 32 + 32;

/// Most rollups in the tree (ledger parameter `max_rollups` has this default).
pub const ROLLUPS_MAX: usize = 1_024;

/// A rollup after a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollupState {
    /// The rollup.
    pub rollup: RollupId,
    /// Last height with transactions of the rollup; 0 if there was none.
    pub last_height: Height,
    /// Number of the rollup's block at that height, from 1 and without gaps; 0 if there was none.
    pub number: u64,
    /// Number of transactions in it.
    pub tx_count: u32,
    /// Root over their ids, in order.
    pub list_root: Digest,
    /// Digest of the state before that block; zero for the first block.
    pub previous: Digest,
}

impl RollupState {
    /// A registered rollup without blocks.
    #[must_use]
    pub const fn empty(rollup: RollupId) -> Self {
        Self {
            rollup,
            last_height: Height::ZERO,
            number: 0,
            tx_count: 0,
            list_root: Digest::ZERO,
            previous: Digest::ZERO,
        }
    }

    /// The state after a block in which the rollup had this part.
    #[must_use]
    pub fn after(&self, height: Height, part: &RollupLeaf) -> Self {
        Self {
            rollup: self.rollup,
            last_height: height,
            number: part.number,
            tx_count: part.tx_count,
            list_root: part.list_root,
            previous: if self.number == 0 {
                Digest::ZERO
            } else {
                self.digest()
            },
        }
    }

    /// Digest of the leaf.
    #[must_use]
    pub fn digest(&self) -> Digest {
        tree::leaf(domain::ROLLUP_LEAF, &self.to_bytes())
    }

    /// The leaf's data.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(LEAF_BYTES);
        out.push(VERSION);
        out.extend_from_slice(&self.rollup.0.to_be_bytes());
        out.extend_from_slice(&self.last_height.0.to_be_bytes());
        out.extend_from_slice(&self.number.to_be_bytes());
        out.extend_from_slice(&self.tx_count.to_be_bytes());
        out.extend_from_slice(&self.list_root.0);
        out.extend_from_slice(&self.previous.0);
        out
    }

    /// Reads the leaf's data.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        wire::whole(bytes, Self::decode)
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        wire::version(reader, "rollup leaf version", VERSION)?;
        Ok(Self {
            rollup: RollupId(wire::long(reader, "rollup")?),
            last_height: Height(wire::long(reader, "last height")?),
            number: wire::long(reader, "rollup block number")?,
            tx_count: wire::word(reader, "transaction count")?,
            list_root: wire::digest(reader, "list root")?,
            previous: wire::digest(reader, "previous leaf")?,
        })
    }
}

/// Why rollups don't fit into the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RollupsError {
    /// More than [`ROLLUPS_MAX`].
    #[error("rollups: {0}, at most {ROLLUPS_MAX}")]
    TooMany(usize),
    /// Not ascending by id.
    #[error("rollups: {0} is out of order or appears twice")]
    Order(RollupId),
    /// A block has a part of a rollup that is not in the tree.
    #[error("rollups: {0} is not registered")]
    Unknown(RollupId),
    /// The part is not the rollup's next block.
    #[error("rollup {rollup}: block {found} after block {last}")]
    Gap {
        /// The rollup.
        rollup: RollupId,
        /// Number of its last block.
        last: u64,
        /// Number of the part.
        found: u64,
    },
}

/// The rollups after a block, with their tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollupTree {
    states: Vec<RollupState>,
    tree: Tree,
}

impl RollupTree {
    /// Starts from states sorted by rollup, for example [`RollupState::empty`] ones at genesis.
    ///
    /// # Errors
    /// [`RollupsError::TooMany`], [`RollupsError::Order`].
    pub fn new(states: Vec<RollupState>) -> Result<Self, RollupsError> {
        if states.len() > ROLLUPS_MAX {
            return Err(RollupsError::TooMany(states.len()));
        }
        let mut before = None;
        for state in &states {
            if before.is_some_and(|before| before >= state.rollup) {
                return Err(RollupsError::Order(state.rollup));
            }
            before = Some(state.rollup);
        }
        let tree = Tree::new(states.iter().map(RollupState::digest).collect());
        Ok(Self { states, tree })
    }

    /// Takes over a block's parts. On an error nothing has changed.
    ///
    /// # Errors
    /// [`RollupsError::Unknown`], [`RollupsError::Gap`].
    pub fn apply(&mut self, height: Height, parts: &[RollupLeaf]) -> Result<(), RollupsError> {
        let mut changes = Vec::with_capacity(parts.len());
        for part in parts {
            let index = self
                .index(part.rollup)
                .ok_or(RollupsError::Unknown(part.rollup))?;
            let Some(state) = self.states.get(index) else {
                continue;
            };
            if part.number != state.number.saturating_add(1) {
                return Err(RollupsError::Gap {
                    rollup: part.rollup,
                    last: state.number,
                    found: part.number,
                });
            }
            changes.push((index, state.after(height, part)));
        }
        for (index, state) in changes {
            self.tree.set(index, state.digest());
            if let Some(place) = self.states.get_mut(index) {
                *place = state;
            }
        }
        Ok(())
    }

    /// Root of the tree: [`crate::BlockResult::rollups_root`].
    #[must_use]
    pub fn root(&self) -> Digest {
        self.tree.root()
    }

    /// All states, sorted by rollup.
    #[must_use]
    pub fn states(&self) -> &[RollupState] {
        &self.states
    }

    /// State of a rollup.
    #[must_use]
    pub fn state(&self, rollup: RollupId) -> Option<&RollupState> {
        self.states.get(self.index(rollup)?)
    }

    /// State and path of a rollup.
    #[must_use]
    pub fn prove(&self, rollup: RollupId) -> Option<(RollupState, Path)> {
        let index = self.index(rollup)?;
        Some((*self.states.get(index)?, self.tree.path(index)?))
    }

    fn index(&self, rollup: RollupId) -> Option<usize> {
        self.states
            .binary_search_by_key(&rollup, |state| state.rollup)
            .ok()
    }
}
