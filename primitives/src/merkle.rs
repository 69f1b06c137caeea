//! Binary Merkle trees over BLAKE3.
//!
//! Leaves are digests made under a domain tag of their own. A level with an odd count passes its last
//! node up unchanged, and the root also binds the number of leaves: so a path has exactly one legal
//! length, an inner node can't be passed off as a leaf, and no two lists share a root. The empty list
//! has the root [`Digest::ZERO`].

use crate::Digest;
use crate::codec::{Decode, DecodeError, Encode, Reader, encode_list};

/// Longest path that a proof may have: trees hold at most 2^32 leaves.
pub const PATH_LENGTH_MAX: usize = 32;

fn node(left: &Digest, right: &Digest) -> Digest {
    let mut bytes = [0_u8; 64 + 1];
    let (tag, rest) = bytes.split_at_mut(1);
    tag.copy_from_slice(&[1]);
    let (a, b) = rest.split_at_mut(32);
    a.copy_from_slice(&left.0);
    b.copy_from_slice(&right.0);
    Digest(*blake3::hash(&bytes).as_bytes())
}

fn bind_count(top: &Digest, count: u32) -> Digest {
    let mut bytes = [0_u8; 37];
    let (tag, rest) = bytes.split_at_mut(1);
    tag.copy_from_slice(&[2]);
    let (digest, number) = rest.split_at_mut(32);
    digest.copy_from_slice(&top.0);
    number.copy_from_slice(&count.to_le_bytes());
    Digest(*blake3::hash(&bytes).as_bytes())
}

fn next_level(level: &[Digest]) -> Vec<Digest> {
    level
        .chunks(2)
        .filter_map(|pair| match pair {
            [left, right] => Some(node(left, right)),
            [single] => Some(*single),
            _ => None,
        })
        .collect()
}

/// Root over leaves that are digests already (each made under a domain tag of its own).
///
/// Lists above 2^32 - 1 leaves don't occur: blocks are limited to 16 MiB of bodies.
#[must_use]
pub fn root(leaves: &[Digest]) -> Digest {
    if leaves.is_empty() {
        return Digest::ZERO;
    }
    let count = u32::try_from(leaves.len()).unwrap_or(u32::MAX);
    let mut level = next_level(leaves);
    while level.len() > 1 {
        level = next_level(&level);
    }
    level
        .first()
        .map_or(Digest::ZERO, |top| bind_count(top, count))
}

/// All levels of a tree, for who needs the paths of many leaves: one hash per leaf for all of them,
/// where [`Path::new`] hashes the whole tree for one.
#[derive(Clone, Debug)]
pub struct Tree {
    /// Leaves first.
    levels: Vec<Vec<Digest>>,
}

impl Tree {
    /// Hashes the tree over `leaves`.
    #[must_use]
    pub fn new(leaves: &[Digest]) -> Self {
        let mut levels = vec![leaves.to_vec()];
        while let Some(level) = levels.last().filter(|level| level.len() > 1) {
            let next = next_level(level);
            levels.push(next);
        }
        Self { levels }
    }

    /// The path of leaf `index`, or `None` if there is no such leaf.
    #[must_use]
    pub fn path(&self, index: usize) -> Option<Path> {
        let leaves = self.levels.first()?;
        leaves.get(index)?;
        let mut position = index;
        let mut siblings = Vec::with_capacity(self.levels.len());
        for level in &self.levels {
            siblings.extend(level.get(position ^ 1).filter(|_| level.len() > 1));
            position /= 2;
        }
        Some(Path {
            index: u32::try_from(index).ok()?,
            count: u32::try_from(leaves.len()).ok()?,
            siblings,
        })
    }
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
    /// The path of leaf `index`, or `None` if there is no such leaf.
    #[must_use]
    pub fn new(leaves: &[Digest], index: usize) -> Option<Self> {
        Tree::new(leaves).path(index)
    }

    /// The root that this path gives for `leaf`, or `None` if the path has the wrong length.
    #[must_use]
    pub fn root(&self, leaf: &Digest) -> Option<Digest> {
        if self.index >= self.count {
            return None;
        }
        let mut siblings = self.siblings.iter();
        let (mut position, mut width) = (self.index, self.count);
        let mut current = *leaf;
        while width > 1 {
            let has_sibling = (position ^ 1) < width;
            if has_sibling {
                let sibling = siblings.next()?;
                current = if position % 2 == 0 {
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
}

impl Encode for Path {
    fn encode(&self, out: &mut Vec<u8>) {
        self.index.encode(out);
        self.count.encode(out);
        encode_list(&self.siblings, out);
    }
}

impl Decode for Path {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            index: Decode::decode(reader)?,
            count: Decode::decode(reader)?,
            siblings: reader.list("path", PATH_LENGTH_MAX)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: usize) -> Vec<Digest> {
        (0..count)
            .map(|i| Digest(*blake3::hash(&i.to_le_bytes()).as_bytes()))
            .collect()
    }

    #[test]
    fn every_path_of_every_size_leads_to_the_root() {
        for count in 1..=33 {
            let leaves = leaves(count);
            let root = root(&leaves);
            assert_eq!(Path::new(&leaves, count), None);
            for (index, leaf) in leaves.iter().enumerate() {
                let path = Path::new(&leaves, index).unwrap();
                assert_eq!(path.root(leaf), Some(root), "leaf {index} of {count}");
                let moved = Path {
                    index: path.index ^ 1,
                    ..path.clone()
                };
                if count > 1 {
                    assert_ne!(moved.root(leaf), Some(root));
                }
                let more = Path {
                    count: path.count + 1,
                    ..path
                };
                assert_ne!(more.root(leaf), Some(root));
            }
        }
    }

    #[test]
    fn a_repeated_last_leaf_changes_the_root() {
        let mut list = leaves(3);
        let before = root(&list);
        list.push(list[2]);
        assert_ne!(root(&list), before);
    }

    #[test]
    fn an_inner_node_is_no_leaf() {
        let list = leaves(4);
        let inner = [node(&list[0], &list[1]), node(&list[2], &list[3])];
        assert_ne!(root(&inner), root(&list));
    }
}
