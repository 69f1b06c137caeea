//! Sockets of Squad. Both planes carry opaque bytes; what is in them is the caller's business.
//!
//! | plane | who | transport | carries |
//! |---|---|---|---|
//! | [`data`] | committee members | QUIC (quinn), keys pinned to the committee | consensus, acknowledgements, batches, fetches |
//! | [`control`] | anybody | libp2p over TCP, Noise and Yamux | discovery, committed blocks by gossip, sync requests |
//!
//! Why two stacks: `docs/adr/0004-quinn-and-libp2p.md`.
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

pub mod control;
pub mod data;

mod domain;
