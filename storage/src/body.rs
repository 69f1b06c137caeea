//! Batches as they are stored and found.

use bytes::Bytes;
use squad_primitives::{Digest, Height};

/// A batch to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBody {
    /// Digest of the batch; the key.
    pub digest: Digest,
    /// Last height this node had committed when it got the batch: the batch belongs to a later block.
    /// Pruning and recovery use it to skip whole files.
    pub tag: Height,
    /// The signed header as the owner of the table encodes it.
    pub header: Bytes,
    /// The body.
    pub body: Bytes,
}

impl NewBody {
    pub(crate) fn bytes(&self) -> usize {
        self.header.len() + self.body.len()
    }
}

/// A stored batch. Header and body share one buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBody {
    /// See [`NewBody::tag`].
    pub tag: Height,
    /// See [`NewBody::header`].
    pub header: Bytes,
    /// See [`NewBody::body`].
    pub body: Bytes,
}

/// A stored batch without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyHead {
    /// Digest of the batch.
    pub digest: Digest,
    /// See [`NewBody::tag`].
    pub tag: Height,
    /// See [`NewBody::header`].
    pub header: Bytes,
    /// Length of the body, bytes.
    pub body_bytes: u32,
}

/// What pruning removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PruneReport {
    /// Bodies.
    pub bodies: u64,
    /// Bytes on disk.
    pub bytes: u64,
}
