//! Hashing of ids inside this process.
//!
//! Transaction ids are BLAKE3 outputs, so a table needs no further mixing to spread them, but a client
//! may search for ids that share the bits a table looks at. Two secret words, drawn once per process
//! by the shell, make such ids unpredictable at the price of one multiplication.

use std::hash::{BuildHasher, Hasher};

/// Secret of this process for its id tables. Never leaves the process and never changes an output.
#[derive(Clone, Copy)]
pub struct IdHashKey(pub [u64; 2]);

impl std::fmt::Debug for IdHashKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdHashKey(..)")
    }
}

impl BuildHasher for IdHashKey {
    type Hasher = IdHasher;

    fn build_hasher(&self) -> IdHasher {
        IdHasher {
            state: self.0[0],
            key: self.0[1] | 1,
        }
    }
}

/// Folds 16 bytes per multiplication.
#[derive(Debug)]
pub struct IdHasher {
    state: u64,
    key: u64,
}

impl IdHasher {
    const fn fold(a: u64, b: u64) -> u64 {
        let product = (a as u128).wrapping_mul(b as u128);
        #[allow(clippy::cast_possible_truncation)] // both halves are used
        let low = product as u64;
        (product >> 64) as u64 ^ low
    }
}

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        // The first 16 bytes of a digest already tell it apart; more would only cost time.
        let (words, _) = bytes.as_chunks::<8>();
        let word = |index: usize| words.get(index).map_or(0, |word| u64::from_le_bytes(*word));
        self.state = Self::fold(self.state ^ word(0), self.key ^ word(1));
    }

    fn write_u64(&mut self, value: u64) {
        self.state = Self::fold(self.state ^ value, self.key);
    }

    /// Length prefixes: all keys of a table have one length.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squad_primitives::{Digest, RollupId};

    #[test]
    fn every_key_spreads_ids_that_share_a_prefix_word() {
        for key in 0..4_u64 {
            let key = IdHashKey([key.wrapping_mul(0x9e37_79b9_7f4a_7c15), !key]);
            let mut low_bits = std::collections::BTreeSet::new();
            for i in 0..256_u64 {
                let mut id = [7_u8; 32];
                id[8..16].copy_from_slice(&i.wrapping_mul(0xd134_2543_de82_ef95).to_le_bytes());
                low_bits.insert(key.hash_one(Digest(id)) & 0xff);
            }
            assert!(low_bits.len() > 120, "{}", low_bits.len());
        }
    }

    #[test]
    fn keys_change_the_hash() {
        let id = Digest([5; 32]);
        assert_ne!(
            IdHashKey([1, 2]).hash_one(id),
            IdHashKey([3, 2]).hash_one(id)
        );
        assert_ne!(
            IdHashKey([1, 2]).hash_one(RollupId(1)),
            IdHashKey([1, 2]).hash_one(RollupId(2))
        );
    }
}
