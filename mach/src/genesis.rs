//! The committee that a genesis names.

use crate::light::Anchor;
use crate::{
    Admission, BlsPublicKey, CommitteeError, MachCommittee, MachMember, Possession, RawSignature,
};
use squad_primitives::Epoch;
use squad_primitives::genesis::Genesis;

/// The trusted starting point of a network: the operators of its genesis, in epoch 0. `None` if the
/// operators have no keys for certificates.
///
/// # Errors
/// [`CommitteeError::Key`] for bytes that are no key.
pub fn anchor(genesis: &Genesis) -> Result<Option<Anchor>, CommitteeError> {
    let mut members = Vec::with_capacity(genesis.operators.len());
    for (operator, entry) in genesis.numbered_operators() {
        let Some(finality) = &entry.finality else {
            return Ok(None);
        };
        let key = BlsPublicKey::from_bytes(&finality.key.0)
            .map_err(|error| CommitteeError::Key { operator, error })?;
        members.push(Admission {
            member: MachMember {
                operator,
                identity: entry.identity,
                key,
                stake: entry.stake,
            },
            possession: Possession(RawSignature(finality.possession.0)),
        });
    }
    Ok(Some(Anchor {
        network: genesis.network_id(),
        epoch: Epoch::ZERO,
        taken_ms: genesis.genesis_time_ms,
        members,
    }))
}

/// The committee of epoch 0, with every proof of possession checked; `None` if the operators have no
/// keys for certificates.
///
/// # Errors
/// See [`CommitteeError`].
pub fn committee(genesis: &Genesis) -> Result<Option<MachCommittee>, CommitteeError> {
    anchor(genesis)?
        .map(|anchor| MachCommittee::admit(anchor.epoch, anchor.members))
        .transpose()
}
