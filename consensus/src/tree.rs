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
#[derive(Clone, Debug)]
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

    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }

    pub(crate) const fn root(&self) -> &Root {
        &self.root
    }

    pub(crate) fn get(&self, hash: &Digest) -> Option<&Block> {
        self.blocks.get(hash)
    }

    /// Hashes of the blocks here.
    pub(crate) fn hashes(&self) -> impl Iterator<Item = Digest> {
        self.blocks.keys().copied()
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

#[cfg(test)]
mod tests {
    use super::*;
    use squad_primitives::{Epoch, View, ViewId};

    const NETWORK: NetworkId = Digest([4; 32]);

    fn child(parent: BlockRef, height: u64, view: u64) -> (Digest, Block) {
        let block = Block {
            at: ViewId::new(Epoch(0), View(view)),
            height: Height(height),
            parent,
            timestamp_ms: view,
            cut: Cut::default(),
        };
        (block.hash(&NETWORK), block)
    }

    /// Genesis, then a, b, c in views 1, 2, 3, and a rival of b in view 4.
    fn chain() -> (Tree, [(Digest, Block); 4]) {
        let a = child(BlockRef::genesis(NETWORK), 1, 1);
        let b = child(a.1.reference(&NETWORK), 2, 2);
        let c = child(b.1.reference(&NETWORK), 3, 3);
        let rival = child(a.1.reference(&NETWORK), 2, 4);
        (Tree::new(NETWORK, None), [a, b, c, rival])
    }

    #[test]
    fn a_path_names_the_first_missing_ancestor_and_its_distance() {
        let (mut tree, [a, b, c, _]) = chain();
        let missing = |hash, heights| Path::Missing { hash, heights };
        assert_eq!(tree.path(c.0), missing(c.0, None));
        tree.insert(c.0, c.1.clone());
        assert_eq!(tree.path(c.0), missing(b.0, Some(2)));
        tree.insert(b.0, b.1.clone());
        assert_eq!(tree.path(c.0), missing(a.0, Some(1)));
        tree.insert(a.0, a.1.clone());
        assert_eq!(tree.path(c.0), Path::Connected(vec![a.0, b.0, c.0]));
        assert_eq!(tree.path(NETWORK), Path::Connected(Vec::new()));
    }

    #[test]
    fn a_commit_forgets_what_can_not_follow_it() {
        let (mut tree, [a, b, c, rival]) = chain();
        for (hash, block) in [&a, &b, &c, &rival] {
            tree.insert(*hash, block.clone());
        }
        tree.commit(a.0, &a.1);
        assert_eq!(tree.path(rival.0), Path::Connected(vec![rival.0]));
        tree.commit(b.0, &b.1);
        assert_eq!(tree.get(&a.0), None);
        assert_eq!(tree.get(&rival.0), None, "its height is taken");
        assert_eq!(tree.path(c.0), Path::Connected(vec![c.0]));
        tree.insert(a.0, a.1.clone());
        assert_eq!(tree.get(&a.0), None, "committed blocks don't come back");
    }

    #[test]
    fn a_block_on_another_branch_or_of_a_false_height_conflicts() {
        let (mut tree, [a, b, _, rival]) = chain();
        for (hash, block) in [&a, &b] {
            tree.insert(*hash, block.clone());
        }
        tree.commit(a.0, &a.1);
        tree.commit(b.0, &b.1);
        let on_rival = child(rival.1.reference(&NETWORK), 3, 5);
        tree.insert(on_rival.0, on_rival.1.clone());
        assert_eq!(tree.path(on_rival.0), Path::Conflict);
        let too_high = child(b.1.reference(&NETWORK), 9, 6);
        tree.insert(too_high.0, too_high.1.clone());
        assert_eq!(tree.path(too_high.0), Path::Conflict);
    }
}
