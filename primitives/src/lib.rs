//! Shared vocabulary of Squad: identifiers, digests, keys, committees and every data type that is
//! hashed or signed.
//!
//! Rules that hold for the whole crate:
//!
//! - **Pure.** No clock, disk, socket, thread or operating-system randomness. Time and entropy are
//!   arguments ([`Now`], [`IdentityKey::from_seed`]).
//! - **One encoding per value.** Everything hashed, signed or stored goes through [`codec`], never
//!   through protobuf bytes, so that two nodes can't disagree about a digest because of a library.
//! - **One tag per purpose.** Every digest and signature starts with a tag from [`domain`] and the
//!   [`NetworkId`]; a signature can't be replayed in another role or on another network.
//! - **Bytes from outside never panic.** Decoders return [`codec::DecodeError`] and allocate at most
//!   what the input's own length allows.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

pub mod batch;
pub mod block;
pub mod certificate;
pub mod codec;
pub mod committee;
pub mod cut;
pub mod domain;
pub mod evidence;
pub mod genesis;
pub mod id;
pub mod key;
pub mod merkle;
pub mod message;
pub mod order;
pub mod time;
pub mod transaction;
pub mod vote;

mod digest;

pub use batch::{Ack, Batch, BatchBuilder, BatchHeader, Poa, SignedHeader};
pub use block::{Block, BlockRef, CommittedBlock, Proposal};
pub use certificate::{Certificate, SignerSet};
pub use committee::{Committee, Member};
pub use cut::{Cut, Tip};
pub use digest::{Digest, NetworkId};
pub use evidence::Evidence;
pub use id::{BatchSeq, Epoch, Height, OperatorId, RollupId, Stake, View, ViewId};
pub use key::{Ed25519Verifier, IdentityKey, PublicKey, Signature, Signer, Verifier};
pub use order::OrderResult;
pub use time::{Duration, Now, Time};
pub use transaction::{EXPIRY_BLOCKS_DEFAULT, Transaction, TxId, TxKind};
pub use vote::{Statement, StatementKind, Vote};
