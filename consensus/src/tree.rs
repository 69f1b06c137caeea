//! Uncommitted blocks above the last committed one.

use squad_primitives::{Block, BlockRef, CommittedBlock, Cut, Digest, Height, NetworkId};
use std::collections::BTreeMap;

/// What is remembered of the last committed block.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    pub(crate) reference: BlockRef,
    pub(crate) height: Height,
    pub(crate) timestamp_ms: u64,
    pub(crate) cut: Cut,
}

/// How a block is connected to the last committed one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// Hashes of the uncommitted blocks up to it, in height order; empty for the last committed block.
    Connected(Vec<Digest>),
    /// This ancestor (or the block itself) isn't here; the number says how many heights are unknown,
    /// if that can be told.
    Missing { hash: Digest, heights: Option<u64> },
    /// It does not descend from the last committed block.
    Conflict,
}

/// Blocks by hash. Holds only blocks of views above the last committed one.
#[derive(Debug)]
pub(crate) struct Tree {
    root: Root,
    blocks: BTreeMap<Digest, Block>,
}

impl Tree {
    pub(crate) fn new(network: NetworkId, committed: Option<&CommittedBlock>) -> Self {
        let root = match committed {
            None => Root {
                reference: BlockRef::genesis(network),
                height: Height::ZERO,
                timestamp_ms: 0,
                cut: Cut::default(),
            },
            Some(committed) => root_of(committed.hash, &committed.block),
        };
        Self {
            root,
            blocks: BTreeMap::new(),
        }
    }

    pub(crate) const fn root(&self) -> &Root {
        &self.root
    }

    pub(crate) fn get(&self, hash: &Digest) -> Option<&Block> {
        self.blocks.get(hash)
    }

    /// Adds a block; those that the last commit made moot are left out.
    pub(crate) fn insert(&mut self, hash: Digest, block: Block) {
        if block.at > self.root.reference.at && block.height > self.root.height {
            self.blocks.entry(hash).or_insert(block);
        }
    }

    /// Reference, height, timestamp and cut of a block here or of the root.
    pub(crate) fn summary(&self, hash: &Digest) -> Option<Root> {
        if self.root.reference.hash == *hash {
            return Some(self.root.clone());
        }
        self.blocks.get(hash).map(|block| root_of(*hash, block))
    }

    /// Height of a block here or of the root.
    pub(crate) fn height(&self, hash: &Digest) -> Option<Height> {
        if self.root.reference.hash == *hash {
            return Some(self.root.height);
        }
        self.blocks.get(hash).map(|block| block.height)
    }

    /// Timestamp of a block here or of the root.
    pub(crate) fn timestamp_ms(&self, hash: &Digest) -> Option<u64> {
        if self.root.reference.hash == *hash {
            return Some(self.root.timestamp_ms);
        }
        self.blocks.get(hash).map(|block| block.timestamp_ms)
    }

    /// Cut of a block here or of the root.
    pub(crate) fn cut(&self, hash: &Digest) -> Option<&Cut> {
        if self.root.reference.hash == *hash {
            return Some(&self.root.cut);
        }
        self.blocks.get(hash).map(|block| &block.cut)
    }

    /// Walks from a block to the root. At most as many steps as there are blocks, since heights fall.
    pub(crate) fn path(&self, hash: Digest) -> Path {
        let mut path = Vec::new();
        let mut at = hash;
        let mut above: Option<Height> = None;
        while at != self.root.reference.hash {
            let unknown = above.map(|height| height.0.saturating_sub(self.root.height.0 + 1));
            if unknown == Some(0) {
                return Path::Conflict;
            }
            let Some(block) = self.blocks.get(&at) else {
                return Path::Missing {
                    hash: at,
                    heights: unknown,
                };
            };
            if above.is_some_and(|height| block.height.next() != height) {
                return Path::Conflict;
            }
            path.push(at);
            above = Some(block.height);
            at = block.parent.hash;
        }
        if above.is_some_and(|height| height != self.root.height.next()) {
            return Path::Conflict;
        }
        path.reverse();
        Path::Connected(path)
    }

    /// Makes a child of the root the new root and drops what can't be committed any more. Returns the
    /// cut of the former root.
    pub(crate) fn commit(&mut self, hash: Digest, block: &Block) -> Cut {
        assert_eq!(block.parent.hash, self.root.reference.hash);
        assert_eq!(block.height, self.root.height.next());
        let former = std::mem::replace(&mut self.root, root_of(hash, block));
        let (at, height) = (block.at, block.height);
        self.blocks
            .retain(|_, other| other.at > at && other.height > height);
        former.cut
    }
}

fn root_of(hash: Digest, block: &Block) -> Root {
    Root {
        reference: BlockRef { hash, at: block.at },
        height: block.height,
        timestamp_ms: block.timestamp_ms,
        cut: block.cut.clone(),
    }
}
