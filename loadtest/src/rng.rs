//! SplitMix64 (Steele, Lea and Flood, OOPSLA '14): the generator's only source of randomness.
//!
//! Fast (about one nanosecond per eight bytes), seeded, and without structure that a byte compressor
//! could find, which is all that filler, arrival times and mixes need. It is not cryptographic: keys of
//! the `evm` workload are derived by hashing instead.

/// State of the generator.
#[derive(Clone, Debug)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// Starts at a seed. Equal seeds give equal sequences.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A stream of its own for the `index`-th item of a run, so that item n can be made again without
    /// making the n - 1 before it.
    #[must_use]
    pub const fn for_item(seed: u64, index: u64) -> Self {
        Self(mix(seed ^ mix(index.wrapping_add(GAMMA))))
    }

    /// The next value, uniform over all 64-bit numbers.
    #[allow(clippy::should_implement_trait)] // an endless source, not a collection
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GAMMA);
        mix(self.0)
    }

    /// Uniform in `(0, 1]`: never zero, so that its logarithm is finite.
    pub fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// Fills `out` with random bytes.
    pub fn fill(&mut self, out: &mut [u8]) {
        let mut words = out.chunks_exact_mut(8);
        for word in &mut words {
            word.copy_from_slice(&self.next().to_le_bytes());
        }
        let rest = words.into_remainder();
        let last = self.next().to_le_bytes();
        rest.copy_from_slice(&last[..rest.len()]);
    }
}

/// The golden ratio in 64-bit fixed point: the increment of the sequence.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finalizer, variant 13 of Stafford.
const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First values for seed 1234567, as published with the reference implementation.
    #[test]
    fn matches_the_reference() {
        let mut rng = SplitMix64::new(1_234_567);
        let expected = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!([(); 5].map(|()| rng.next()), expected);
    }

    #[test]
    fn filler_does_not_compress() {
        let mut bytes = vec![0; 64 * 1024];
        SplitMix64::for_item(7, 9).fill(&mut bytes);
        let packed = miniz_oxide::deflate::compress_to_vec(&bytes, 9);
        assert!(packed.len() >= bytes.len());
    }
}
