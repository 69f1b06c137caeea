//! Keys and committees of equal stake.

use squad_primitives::{
    Committee, Digest, Epoch, IdentityKey, Member, NetworkId, OperatorId, Signer, Stake,
};
use std::sync::Arc;

/// Network id of everything in this crate.
pub const NETWORK: NetworkId = Digest([7; 32]);

/// Operator number of a replica.
///
/// # Panics
/// If the index is no `u32`.
#[must_use]
pub fn operator(index: usize) -> OperatorId {
    OperatorId(u32::try_from(index).expect("committees have at most 128 members"))
}

/// Key of a replica: a function of its index.
///
/// # Panics
/// If the index is no `u8`; committees have at most 128 members.
#[must_use]
pub fn key(index: usize) -> Arc<IdentityKey> {
    let byte = u8::try_from(index + 1).expect("committees have at most 128 members");
    Arc::new(IdentityKey::from_seed([byte; 32]))
}

/// The committee of epoch 0 with the first `members` keys, one unit of stake each.
///
/// # Panics
/// If a committee of this size is illegal.
#[must_use]
pub fn committee(members: usize) -> Committee {
    let members = (0..members).map(|index| Member {
        operator: operator(index),
        key: key(index).public_key(),
        stake: Stake(1),
    });
    Committee::new(Epoch(0), members.collect()).expect("a legal committee")
}
