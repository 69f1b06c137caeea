//! Memory of a decoder against the length of its input.

/// What a decoder may hold at most, at any moment and including what it returns.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// Bytes per byte of input.
    pub factor: usize,
    /// Bytes besides.
    pub slack: usize,
}

impl Bound {
    /// The rule for our own encodings and for frames: four times the input and 64 KiB.
    pub const PEER: Self = Self {
        factor: 4,
        slack: 64 << 10,
    };

    /// The rule for protobuf messages: six times the input and 64 KiB. Lists grow by doubling, and the
    /// message lives beside the value that it is converted to; 4.2 times was the most that was seen.
    pub const PROTOBUF: Self = Self {
        factor: 6,
        slack: 64 << 10,
    };

    /// Bytes allowed for an input of this length.
    #[must_use]
    pub const fn bytes(&self, input: usize) -> usize {
        self.factor * input + self.slack
    }
}

/// Runs a decoder on the calling thread and fails if it held more than `bound` allows for an input of
/// `input` bytes.
///
/// # Panics
/// When the bound is exceeded.
pub fn bounded<T>(bound: Bound, input: usize, decode: impl FnOnce() -> T) -> T {
    let mut value = None;
    let used = allocation_counter::measure(|| value = Some(decode())).bytes_max;
    let allowed = bound.bytes(input) as u64;
    assert!(
        used <= allowed,
        "{used} bytes of memory for {input} bytes of input, allowed are {allowed}"
    );
    value.unwrap_or_else(|| unreachable!("the closure ran"))
}

/// Runs something on the calling thread; how many more bytes are allocated after it than before.
pub fn held_bytes(run: impl FnOnce()) -> i64 {
    allocation_counter::measure(run).bytes_current
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_at_once_counts_and_what_was_freed_does_not() {
        let bound = Bound {
            factor: 2,
            slack: 10,
        };
        let kept = bounded(bound, 100, || {
            drop(std::hint::black_box(vec![0_u8; 200]));
            vec![1_u8; 210]
        });
        assert_eq!(kept.len(), 210);
    }

    #[test]
    fn what_is_left_behind_is_counted() {
        let mut kept = Vec::new();
        let held = held_bytes(|| {
            drop(std::hint::black_box(vec![0_u8; 500]));
            kept = vec![0_u8; 300];
        });
        assert_eq!((held, kept.len()), (300, 300));
    }

    #[test]
    #[should_panic(expected = "211 bytes of memory for 100 bytes of input")]
    fn one_byte_more_fails() {
        let bound = Bound {
            factor: 2,
            slack: 10,
        };
        drop(std::hint::black_box(bounded(bound, 100, || {
            vec![1_u8; 211]
        })));
    }
}
