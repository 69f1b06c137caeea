//! The stored form of a batch.

use squad_primitives::codec::Encode;
use squad_primitives::{Batch, Height, SignedHeader, canonical};
use squad_storage::NewBody;

/// What is stored with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredHeader {
    /// The header.
    pub(crate) signed: SignedHeader,
    /// This operator acknowledged the lane up to this batch, or was about to: the record that keeps it
    /// from acknowledging another branch.
    pub(crate) acked: bool,
}

canonical!(StoredHeader { signed, acked });

/// The stored form of a batch; `committed` is the last committed height when it arrived.
pub(crate) fn new_body(batch: &Batch, committed: Height, acked: bool) -> NewBody {
    let header = StoredHeader {
        signed: *batch.signed(),
        acked,
    };
    NewBody {
        digest: batch.digest(),
        tag: committed,
        header: header.to_bytes().into(),
        body: batch.body().clone(),
    }
}
