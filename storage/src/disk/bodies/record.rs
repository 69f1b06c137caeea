//! Records of a body segment.
//!
//! ```text
//! segment := segment header (16 bytes), record*
//! segment header := "SQUADSEG", layout u32, segment number u32
//! record  := prefix (68 bytes), header bytes, body bytes
//! prefix  := magic u32, head crc u32, body crc u32, header length u32, body length u32,
//!            segment number u32, offset u32, tag u64, digest [32]
//! ```
//!
//! Integers are little-endian. The head checksum covers the prefix behind it and the header bytes,
//! the body checksum the body; so recovery can list headers without reading bodies. Segment number
//! and offset bind a record to its place: bytes that an earlier file left on the same disk blocks
//! never look like a record. A zeroed (preallocated) tail has no magic and ends the segment.

use squad_primitives::{Digest, Height};

pub(super) const SEGMENT_HEADER_BYTES: u32 = 16;
pub(super) const PREFIX_BYTES: u32 = 68;

/// Header and body of one record together. Far above any batch; keeps lengths and offsets in `u32`.
pub(super) const RECORD_BYTES_MAX: usize = 256 * 1024 * 1024;

const SEGMENT_MAGIC: &[u8; 8] = b"SQUADSEG";
const SEGMENT_LAYOUT: u32 = 1;
const RECORD_MAGIC: u32 = u32::from_le_bytes(*b"SQB1");

/// Where a record begins and how long its parts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u32,
    pub(super) offset: u32,
    pub(super) header_bytes: u32,
    pub(super) body_bytes: u32,
}

impl Place {
    pub(super) const ENCODED_BYTES: usize = 16;

    pub(super) const fn record_bytes(&self) -> u64 {
        PREFIX_BYTES as u64 + self.header_bytes as u64 + self.body_bytes as u64
    }

    pub(super) const fn end(&self) -> u64 {
        self.offset as u64 + self.record_bytes()
    }

    pub(super) fn encode(&self) -> [u8; Self::ENCODED_BYTES] {
        let mut bytes = [0; Self::ENCODED_BYTES];
        bytes[0..4].copy_from_slice(&self.segment.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.header_bytes.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.body_bytes.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == Self::ENCODED_BYTES).then(|| Self {
            segment: u32_at(bytes, 0),
            offset: u32_at(bytes, 4),
            header_bytes: u32_at(bytes, 8),
            body_bytes: u32_at(bytes, 12),
        })
    }
}

/// The prefix of a record whose head checksum has not been looked at yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    pub(super) place: Place,
    pub(super) tag: Height,
    pub(super) digest: Digest,
    head_crc: u32,
    body_crc: u32,
}

impl Prefix {
    pub(super) fn new(
        place: Place,
        tag: Height,
        digest: Digest,
        header: &[u8],
        body: &[u8],
    ) -> Self {
        let mut prefix = Self {
            place,
            tag,
            digest,
            head_crc: 0,
            body_crc: crc32fast::hash(body),
        };
        prefix.head_crc = prefix.head_checksum(header);
        prefix
    }

    pub(super) fn encode(&self) -> [u8; PREFIX_BYTES as usize] {
        let mut bytes = [0; PREFIX_BYTES as usize];
        bytes[0..4].copy_from_slice(&RECORD_MAGIC.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.head_crc.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.body_crc.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.place.header_bytes.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.place.body_bytes.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.place.segment.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.place.offset.to_le_bytes());
        bytes[28..36].copy_from_slice(&self.tag.0.to_le_bytes());
        bytes[36..68].copy_from_slice(self.digest.as_bytes());
        bytes
    }

    /// Reads a prefix found at `offset` of `segment`; `None` when no record of ours begins there.
    pub(super) fn decode(bytes: &[u8], segment: u32, offset: u32) -> Option<Self> {
        if bytes.len() < PREFIX_BYTES as usize || u32_at(bytes, 0) != RECORD_MAGIC {
            return None;
        }
        let prefix = Self {
            head_crc: u32_at(bytes, 4),
            body_crc: u32_at(bytes, 8),
            place: Place {
                header_bytes: u32_at(bytes, 12),
                body_bytes: u32_at(bytes, 16),
                segment: u32_at(bytes, 20),
                offset: u32_at(bytes, 24),
            },
            tag: Height(u64::from_le_bytes(array_at(bytes, 28))),
            digest: Digest(array_at(bytes, 36)),
        };
        let in_place = prefix.place.segment == segment && prefix.place.offset == offset;
        let in_bounds = prefix.place.record_bytes() <= RECORD_BYTES_MAX as u64;
        (in_place && in_bounds).then_some(prefix)
    }

    pub(super) fn head_is_intact(&self, header: &[u8]) -> bool {
        self.head_crc == self.head_checksum(header)
    }

    pub(super) fn body_is_intact(&self, body: &[u8]) -> bool {
        self.body_crc == crc32fast::hash(body)
    }

    fn head_checksum(&self, header: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.encode()[8..]);
        hasher.update(header);
        hasher.finalize()
    }
}

pub(super) fn encode_segment_header(segment: u32) -> [u8; SEGMENT_HEADER_BYTES as usize] {
    let mut bytes = [0; SEGMENT_HEADER_BYTES as usize];
    bytes[..8].copy_from_slice(SEGMENT_MAGIC);
    bytes[8..12].copy_from_slice(&SEGMENT_LAYOUT.to_le_bytes());
    bytes[12..16].copy_from_slice(&segment.to_le_bytes());
    bytes
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix() -> Prefix {
        let place = Place {
            segment: 7,
            offset: 16,
            header_bytes: 3,
            body_bytes: 4,
        };
        Prefix::new(place, Height(9), Digest([0xab; 32]), b"abc", b"defg")
    }

    /// The layout on disk: a change here needs a new `FORMAT`.
    #[test]
    fn encoding_is_pinned() {
        let hex: String = prefix()
            .encode()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(
            hex,
            "535142310b27344b598e6d3b0300000004000000070000001000000009000000000\
             00000abababababababababababababababababababababababababababababababab"
        );
    }

    #[test]
    fn a_record_is_recognised_only_in_its_place() {
        let bytes = prefix().encode();
        assert_eq!(Prefix::decode(&bytes, 7, 16), Some(prefix()));
        assert_eq!(Prefix::decode(&bytes, 8, 16), None);
        assert_eq!(Prefix::decode(&bytes, 7, 17), None);
        assert_eq!(Prefix::decode(&bytes[..67], 7, 16), None);
        assert_eq!(Prefix::decode(&[0; 68], 0, 0), None);
    }

    #[test]
    fn every_flipped_bit_of_the_head_is_noticed() {
        let bytes = prefix().encode();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            let accepted = Prefix::decode(&damaged, 7, 16).is_some_and(|prefix| {
                prefix.head_is_intact(b"abc") && prefix.body_is_intact(b"defg")
            });
            assert!(!accepted, "bit {bit} of the prefix changed unnoticed");
        }
        assert!(!prefix().head_is_intact(b"abd"));
        assert!(!prefix().body_is_intact(b"defh"));
    }
}
