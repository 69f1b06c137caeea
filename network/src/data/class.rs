//! Classes of urgency.

use std::fmt;

/// Urgency of a frame. Each class has its own stream, queue and size limit, so that a flood of one
/// neither delays nor displaces another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Proposals, votes, certificates. Always sent first.
    Consensus,
    /// Acknowledgements and proofs of availability.
    Acks,
    /// Batches: nearly all of the bytes.
    Batches,
}

impl Class {
    /// All classes, most urgent first.
    pub const ALL: [Self; 3] = [Self::Consensus, Self::Acks, Self::Batches];

    /// Largest payload of one frame, in bytes.
    #[must_use]
    pub const fn frame_bytes_limit(self) -> usize {
        match self {
            // A proposal with its justification is the largest consensus message.
            Self::Consensus => 64 << 10,
            // A list of acks; one ack or proof is far smaller.
            Self::Acks => 16 << 10,
            // A body of 1 MiB, its offset table, header, and the proofs that travel with it.
            Self::Batches => (1 << 20) + (64 << 10),
        }
    }

    /// QUIC stream priority. Fetches (priority 1) go before batches, since something waits for them.
    pub(crate) const fn priority(self) -> i32 {
        match self {
            Self::Consensus => 3,
            Self::Acks => 2,
            Self::Batches => 0,
        }
    }

    /// First byte on the class's stream.
    pub(crate) const fn tag(self) -> u8 {
        match self {
            Self::Consensus => 1,
            Self::Acks => 2,
            Self::Batches => 3,
        }
    }

    pub(crate) const fn from_tag(tag: u8) -> Option<Self> {
        match tag {
            1 => Some(Self::Consensus),
            2 => Some(Self::Acks),
            3 => Some(Self::Batches),
            _ => None,
        }
    }

    /// Label in metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Consensus => "consensus",
            Self::Acks => "acks",
            Self::Batches => "batches",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_round_trip_and_unknown_ones_are_refused() {
        for class in Class::ALL {
            assert_eq!(Class::from_tag(class.tag()), Some(class));
        }
        assert_eq!(Class::from_tag(0), None);
        assert_eq!(Class::from_tag(4), None);
    }

    #[test]
    fn urgency_follows_the_order_of_all() {
        let priorities = Class::ALL.map(Class::priority);
        assert!(priorities.is_sorted_by(|a, b| a > b));
    }
}
