//! Binary Merkle trees over SHA-256, as the L1 contract opens them.
//!
//! ```text
//! leaf  = SHA-256(0x00 ‖ tag padded to 32 bytes ‖ data)
//! node  = SHA-256(0x01 ‖ left ‖ right)
//! root  = SHA-256(0x02 ‖ number of leaves, u32 ‖ top)        top of no leaves: 32 zero bytes
//! ```
//!
//! A level with an odd count passes its last node up unchanged. The first byte keeps leaves, nodes and
//! roots apart, and the root binds the number of leaves, so a path has exactly one legal length.

use crate::{domain, wire};
use sha2::{Digest as _, Sha256};
use squad_primitives::Digest;
use squad_primitives::codec::{DecodeError, Reader};

/// Longest path of a proof: trees hold at most 2^32 leaves.
pub const PATH_LENGTH_MAX: usize = 32;

/// Digest of a leaf.
#[must_use]
pub fn leaf(tag: &str, data: &[u8]) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update([0]);
    hasher.update(domain::padded(tag));
    hasher.update(data);
    Digest(hasher.finalize().into())
}

fn node(left: &Digest, right: &Digest) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update([1]);
    hasher.update(left.0);
    hasher.update(right.0);
    Digest(hasher.finalize().into())
}

fn bind_count(top: &Digest, count: u32) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update([2]);
    hasher.update(count.to_be_bytes());
    hasher.update(top.0);
    Digest(hasher.finalize().into())
}

/// A tree that is kept, so that changing one leaf costs one hash per level.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// Level 0 holds the leaves; the last level holds the top, or is missing when there is no leaf.
    levels: Vec<Vec<Digest>>,
}

impl Tree {
    /// Builds a tree over leaf digests. More than 2^32 - 1 leaves don't occur: every caller has a
    /// limit far below.
    #[must_use]
    pub fn new(leaves: Vec<Digest>) -> Self {
        let mut levels = Vec::new();
        let mut level = leaves;
        while level.len() > 1 {
            let next = level.chunks(2).filter_map(join).collect();
            levels.push(std::mem::replace(&mut level, next));
        }
        if !level.is_empty() {
            levels.push(level);
        }
        Self { levels }
    }

    /// Number of leaves.
    #[must_use]
    pub fn count(&self) -> u32 {
        let leaves = self.levels.first().map_or(0, Vec::len);
        u32::try_from(leaves).unwrap_or(u32::MAX)
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Digest {
        let top = self.levels.last().and_then(|level| level.first());
        bind_count(top.unwrap_or(&Digest::ZERO), self.count())
    }

    /// Replaces one leaf; `false` if there is no such leaf.
    pub fn set(&mut self, index: usize, leaf: Digest) -> bool {
        let mut index = index;
        let mut value = leaf;
        for depth in 0..self.levels.len() {
            let Some(level) = self.levels.get_mut(depth) else {
                return false;
            };
            let Some(place) = level.get_mut(index) else {
                return false;
            };
            *place = value;
            let first = index & !1;
            match level.get(first..level.len().min(first + 2)).and_then(join) {
                Some(joined) => value = joined,
                None => return false,
            }
            index /= 2;
        }
        !self.levels.is_empty()
    }

    /// The path of a leaf, or `None` if there is no such leaf.
    #[must_use]
    pub fn path(&self, index: usize) -> Option<Path> {
        self.levels.first()?.get(index)?;
        let mut siblings = Vec::new();
        let mut position = index;
        for level in &self.levels {
            if let Some(sibling) = level.get(position ^ 1) {
                siblings.push(*sibling);
            }
            position /= 2;
        }
        Some(Path {
            index: u32::try_from(index).ok()?,
            count: self.count(),
            siblings,
        })
    }
}

fn join(pair: &[Digest]) -> Option<Digest> {
    match pair {
        [left, right] => Some(node(left, right)),
        [single] => Some(*single),
        _ => None,
    }
}

/// Root over leaf digests.
#[must_use]
pub fn root(leaves: Vec<Digest>) -> Digest {
    Tree::new(leaves).root()
}

/// Place of one leaf in a tree: index, count and the siblings on the way up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// Index of the leaf, from 0.
    pub index: u32,
    /// Number of leaves in the tree.
    pub count: u32,
    /// Siblings from the leaf upwards; levels where the node has no sibling are left out.
    pub siblings: Vec<Digest>,
}

impl Path {
    /// The root that this path leads to from `leaf`, or `None` if it has not exactly the length that
    /// index and count demand.
    #[must_use]
    pub fn root(&self, leaf: &Digest) -> Option<Digest> {
        if self.index >= self.count {
            return None;
        }
        let mut siblings = self.siblings.iter();
        let mut current = *leaf;
        let mut position = self.index;
        let mut width = self.count;
        while width > 1 {
            // The last node of an odd level has no sibling.
            if position ^ 1 < width {
                let sibling = siblings.next()?;
                current = if position.is_multiple_of(2) {
                    node(&current, sibling)
                } else {
                    node(sibling, &current)
                };
            }
            position /= 2;
            width = width.div_ceil(2);
        }
        siblings
            .next()
            .is_none()
            .then(|| bind_count(&current, self.count))
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.index.to_be_bytes());
        out.extend_from_slice(&self.count.to_be_bytes());
        wire::put_count(out, self.siblings.len());
        for sibling in &self.siblings {
            out.extend_from_slice(&sibling.0);
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let index = wire::word(reader, "path index")?;
        let leaves = wire::word(reader, "path count")?;
        let length = wire::count(reader, "path", PATH_LENGTH_MAX, 32)?;
        let siblings = (0..length)
            .map(|_| wire::digest(reader, "path"))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            index,
            count: leaves,
            siblings,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: u32) -> Vec<Digest> {
        (0..count).map(|i| leaf("test", &i.to_be_bytes())).collect()
    }

    #[test]
    fn every_path_of_every_size_leads_to_the_root() {
        for count in 1..=33 {
            let tree = Tree::new(leaves(count));
            for (index, leaf) in leaves(count).iter().enumerate() {
                let path = tree.path(index).unwrap();
                assert_eq!(path.root(leaf), Some(tree.root()), "{index} of {count}");
                let more = Path {
                    count: path.count + 1,
                    ..path.clone()
                };
                assert_ne!(more.root(leaf), Some(tree.root()));
                let mut short = path.clone();
                if short.siblings.pop().is_some() {
                    assert_ne!(short.root(leaf), Some(tree.root()));
                }
                let mut out = Vec::new();
                path.encode(&mut out);
                assert_eq!(wire::whole(&out, Path::decode), Ok(path));
            }
            assert_eq!(tree.path(count as usize), None);
        }
    }

    #[test]
    fn a_changed_leaf_gives_the_root_of_a_fresh_tree() {
        for count in 1..=17_usize {
            for index in 0..count {
                let mut list = leaves(count as u32);
                let mut tree = Tree::new(list.clone());
                list[index] = leaf("test", b"changed");
                assert!(tree.set(index, list[index]));
                assert_eq!(tree, Tree::new(list));
            }
        }
        assert!(!Tree::new(leaves(3)).set(3, Digest::ZERO));
        assert!(!Tree::default().set(0, Digest::ZERO));
    }

    #[test]
    fn nodes_are_no_leaves_and_lists_share_no_root() {
        let list = leaves(4);
        let inner = vec![node(&list[0], &list[1]), node(&list[2], &list[3])];
        assert_ne!(root(inner), root(list.clone()));
        assert_ne!(root(list[..3].to_vec()), root(list));
        assert_ne!(root(vec![]), Digest::ZERO);
    }
}
