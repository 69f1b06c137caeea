//! Limits that hold before anything is decoded.
//!
//! prost appends to a list for every item that it meets, and an item may be as short as two bytes on
//! the wire while it takes hundreds in memory. So the wire form is walked first, without allocating:
//! every field that holds a message has a largest count and a least length of one item, chosen so that
//! what prost allocates stays a small multiple of the input. A singular message may occur once: prost
//! would merge several.
//!
//! Fields that hold numbers or bytes need no entry: a later one replaces the earlier.

use super::DecodeError;
use squad_primitives::certificate::DESCENDANTS_MAX;
use squad_primitives::committee::COMMITTEE_SIZE_MAX;
use squad_primitives::cut::CUT_LANES_MAX;
use squad_primitives::message::{
    BLOCKS_PER_PAGE, CERTIFICATES_PER_PAGE, HEADERS_PER_PAGE, POAS_PER_BATCH,
};

/// The fields of a message that hold messages.
#[derive(Debug)]
pub(super) struct Shape {
    name: &'static str,
    fields: &'static [Field],
}

#[derive(Debug)]
struct Field {
    tag: u64,
    name: &'static str,
    items_max: usize,
    /// Least length of a legal item, without its key and length.
    bytes_min: usize,
    shape: &'static Shape,
}

const fn one(tag: u64, name: &'static str, shape: &'static Shape) -> Field {
    many(tag, name, shape, 1, 0)
}

const fn many(
    tag: u64,
    name: &'static str,
    shape: &'static Shape,
    items_max: usize,
    bytes_min: usize,
) -> Field {
    Field {
        tag,
        name,
        items_max,
        bytes_min,
        shape,
    }
}

/// Fields of a digest and of a signature with key and length.
const DIGEST: usize = 34;
const SIGNATURE: usize = 66;
/// Key and length of a message.
const NESTED: usize = 2;

const TIP_BYTES_MIN: usize = DIGEST;
/// Parent with a hash.
const BLOCK_BYTES_MIN: usize = NESTED + DIGEST;
/// Statement with a block.
const CERTIFICATE_BYTES_MIN: usize = NESTED + DIGEST;
const POA_BYTES_MIN: usize = NESTED + TIP_BYTES_MIN;
/// Header with parent and body root, signature.
const SIGNED_HEADER_BYTES_MIN: usize = NESTED + 2 * DIGEST + SIGNATURE;
/// Block, proof with a certificate.
const SYNCED_BYTES_MIN: usize = NESTED + BLOCK_BYTES_MIN + 2 * NESTED + CERTIFICATE_BYTES_MIN;
const FOLLOWED_BYTES_MIN: usize = NESTED + SYNCED_BYTES_MIN;

/// Most headers that come with a block for observers.
pub(super) const HEADERS_PER_BLOCK_MAX: usize = 1_024;

macro_rules! shapes {
    ($($const:ident $name:literal [$($field:expr),* $(,)?])*) => {$(
        pub(super) static $const: Shape = Shape { name: $name, fields: &[$($field),*] };
    )*};
}

shapes! {
    LEAF "message" []
    BLOCK_REF "BlockRef" [one(2, "at", &LEAF)]
    BLOCK "Block" [
        one(1, "at", &LEAF),
        one(3, "parent", &BLOCK_REF),
        many(5, "cut", &LEAF, CUT_LANES_MAX, TIP_BYTES_MIN),
    ]
    STATEMENT "Statement" [one(2, "at", &LEAF)]
    CERTIFICATE "Certificate" [one(1, "statement", &STATEMENT)]
    COMMIT_PROOF "CommitProof" [
        one(1, "certificate", &CERTIFICATE),
        many(2, "descendants", &BLOCK, DESCENDANTS_MAX, BLOCK_BYTES_MIN),
    ]
    SIGNED_HEADER "SignedHeader" [one(1, "header", &LEAF)]
    POA "Poa" [one(2, "tip", &LEAF)]
    PROPOSAL "Proposal" [
        one(1, "at", &LEAF),
        one(2, "block", &BLOCK),
        one(5, "justify", &CERTIFICATE),
    ]
    VOTE "Vote" [one(1, "statement", &STATEMENT)]
    CERTIFICATES_REQUEST "CertificatesRequest" [one(1, "after", &LEAF), one(2, "up_to", &LEAF)]
    CERTIFICATES "Certificates" [
        many(1, "certificates", &CERTIFICATE, CERTIFICATES_PER_PAGE, CERTIFICATE_BYTES_MIN),
    ]
    SYNCED_BLOCK "SyncedBlock" [one(1, "block", &BLOCK), one(2, "proof", &COMMIT_PROOF)]
    SYNC "Sync" [many(1, "blocks", &SYNCED_BLOCK, BLOCKS_PER_PAGE, SYNCED_BYTES_MIN)]
    BATCH "Batch" [
        one(1, "signed", &SIGNED_HEADER),
        many(3, "poas", &POA, POAS_PER_BATCH, POA_BYTES_MIN),
    ]
    ACK "Ack" [one(2, "tip", &LEAF)]
    LANE_STATUS "LaneStatus" [many(1, "tips", &LEAF, CUT_LANES_MAX, TIP_BYTES_MIN)]
    HEADERS_REQUEST "HeadersRequest" [one(2, "tip", &LEAF)]
    HEADERS "Headers" [
        many(2, "headers", &SIGNED_HEADER, HEADERS_PER_PAGE, SIGNED_HEADER_BYTES_MIN),
        one(3, "poa", &POA),
    ]
    FRAME "Frame" [
        one(1, "proposal", &PROPOSAL),
        one(2, "vote", &VOTE),
        one(3, "certificate", &CERTIFICATE),
        one(4, "certificates_request", &CERTIFICATES_REQUEST),
        one(5, "certificates", &CERTIFICATES),
        one(6, "block_request", &LEAF),
        one(7, "block", &BLOCK),
        one(8, "sync_request", &LEAF),
        one(9, "sync", &SYNC),
        one(16, "batch", &BATCH),
        one(17, "ack", &ACK),
        one(18, "poa", &POA),
        one(19, "lane_status", &LANE_STATUS),
        one(20, "headers_request", &HEADERS_REQUEST),
        one(21, "headers", &HEADERS),
        one(22, "batch_request", &LEAF),
    ]
    FOLLOWED_BLOCK "FollowedBlock" [
        one(1, "synced", &SYNCED_BLOCK),
        many(2, "headers", &SIGNED_HEADER, HEADERS_PER_BLOCK_MAX, SIGNED_HEADER_BYTES_MIN),
        one(3, "result", &LEAF),
        many(4, "attestations", &LEAF, COMMITTEE_SIZE_MAX, SIGNATURE),
    ]
    FOLLOWED_BLOCKS "FollowedBlocks" [
        many(1, "blocks", &FOLLOWED_BLOCK, BLOCKS_PER_PAGE, FOLLOWED_BYTES_MIN),
    ]
    OBSERVER_REQUEST "ObserverRequest" [
        one(1, "blocks", &LEAF),
        one(2, "headers", &HEADERS_REQUEST),
        one(3, "batch", &LEAF),
    ]
    OBSERVER_RESPONSE "ObserverResponse" [
        one(1, "blocks", &FOLLOWED_BLOCKS),
        one(2, "headers", &HEADERS),
        one(3, "batch", &BATCH),
        one(4, "missing", &LEAF),
    ]
}

/// Most fields that hold messages in one of the shapes above.
const FIELDS_MAX: usize = 16;

impl Shape {
    /// Walks the wire form of a message.
    pub(super) fn check(&self, mut bytes: &[u8]) -> Result<(), DecodeError> {
        let malformed = || DecodeError::Wire { message: self.name };
        let mut counts = [0_usize; FIELDS_MAX];
        while !bytes.is_empty() {
            let (tag, content) = next_field(&mut bytes).ok_or_else(malformed)?;
            let Some(content) = content else { continue };
            let known = self.fields.iter().zip(&mut counts);
            for (field, count) in known.filter(|(field, _)| field.tag == tag) {
                *count += 1;
                field.check(*count, content)?;
            }
        }
        Ok(())
    }
}

impl Field {
    fn check(&self, count: usize, content: &[u8]) -> Result<(), DecodeError> {
        if count > self.items_max {
            return Err(DecodeError::TooMany {
                field: self.name,
                limit: self.items_max,
            });
        }
        if content.len() < self.bytes_min {
            return Err(DecodeError::TooShort {
                field: self.name,
                found: content.len(),
                minimum: self.bytes_min,
            });
        }
        self.shape.check(content)
    }
}

/// Takes one field; its content if it has a length. `None` if the bytes are malformed, or use groups,
/// which proto3 does not have.
fn next_field<'a>(bytes: &mut &'a [u8]) -> Option<(u64, Option<&'a [u8]>)> {
    let key = varint(bytes)?;
    let content = match key & 7 {
        0 => {
            varint(bytes)?;
            None
        }
        1 => {
            take(bytes, 8)?;
            None
        }
        2 => {
            let length = usize::try_from(varint(bytes)?).ok()?;
            Some(take(bytes, length)?)
        }
        5 => {
            take(bytes, 4)?;
            None
        }
        _ => return None,
    };
    Some((key >> 3, content))
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(head)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        // The tenth byte has room for one bit.
        if shift == 63 && *byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
