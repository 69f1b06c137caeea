//! Merkle paths of many leaves of one tree.
//!
//! [`squad_primitives::merkle::Path::new`] hashes the whole tree for one path. Receipts need paths of
//! all transactions of a batch, so the levels are kept here: n hashes for n paths. The rules of the tree
//! are those of `squad_primitives::merkle`; a test compares the two for every size up to 70.

use squad_primitives::Digest;
use squad_primitives::merkle::Path;

/// All levels of a tree, leaves first.
#[derive(Debug)]
pub(crate) struct Tree {
    levels: Vec<Vec<Digest>>,
}

fn node(left: &Digest, right: &Digest) -> Digest {
    let mut bytes = [1_u8; 65];
    bytes[1..33].copy_from_slice(&left.0);
    bytes[33..].copy_from_slice(&right.0);
    Digest(*blake3::hash(&bytes).as_bytes())
}

impl Tree {
    /// Hashes the tree over `leaves`.
    pub(crate) fn new(leaves: &[Digest]) -> Self {
        let mut levels = vec![leaves.to_vec()];
        while let Some(level) = levels.last().filter(|level| level.len() > 1) {
            let next = level
                .chunks(2)
                .map(|pair| match pair {
                    [left, right] => node(left, right),
                    // The last node of an odd level moves up unchanged.
                    single => single[0],
                })
                .collect();
            levels.push(next);
        }
        Self { levels }
    }

    /// The path of leaf `index`; `None` if there is no such leaf.
    pub(crate) fn path(&self, index: u32) -> Option<Path> {
        let count = u32::try_from(self.levels.first()?.len()).ok()?;
        if index >= count {
            return None;
        }
        let mut position = index as usize;
        let mut siblings = Vec::with_capacity(self.levels.len());
        for level in &self.levels {
            siblings.extend(level.get(position ^ 1).filter(|_| level.len() > 1));
            position /= 2;
        }
        Some(Path {
            index,
            count,
            siblings,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_primitives() {
        for count in 0..70_u32 {
            let leaves: Vec<_> = (0..count)
                .map(|i| Digest(*blake3::hash(&i.to_le_bytes()).as_bytes()))
                .collect();
            let tree = Tree::new(&leaves);
            for index in 0..count {
                assert_eq!(tree.path(index), Path::new(&leaves, index as usize));
            }
            assert_eq!(tree.path(count), None);
        }
    }
}
