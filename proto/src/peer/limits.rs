//! Largest counts and least lengths in the messages of the peer protocol.

use crate::shape::{LEAF, Shape, many, one};
use squad_primitives::certificate::DESCENDANTS_MAX;
use squad_primitives::committee::COMMITTEE_SIZE_MAX;
use squad_primitives::cut::CUT_LANES_MAX;
use squad_primitives::message::{
    BLOCKS_PER_PAGE, CERTIFICATES_PER_PAGE, HEADERS_PER_PAGE, POAS_PER_BATCH,
};

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
        one(32, "finality_attestation", &LEAF),
        one(33, "finality_certificate", &LEAF),
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
