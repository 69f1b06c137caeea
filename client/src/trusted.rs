//! What a client believes beforehand: the genesis of its network.

use squad_primitives::genesis::{Genesis, GenesisError};
use squad_primitives::{Committee, Epoch, NetworkId};

/// A network's id and the operators that may sign for it. Everything that an operator says is checked
/// against this and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedNetwork {
    id: NetworkId,
    committee: Committee,
}

impl TrustedNetwork {
    /// Trusts a network id and a committee. Until committees change by ledger, its members serve in
    /// every epoch.
    #[must_use]
    pub const fn new(id: NetworkId, committee: Committee) -> Self {
        Self { id, committee }
    }

    /// Trusts a genesis that has been read and validated.
    ///
    /// # Errors
    /// Its operators are no committee; impossible after validation.
    pub fn from_genesis(
        genesis: &Genesis,
    ) -> Result<Self, squad_primitives::committee::CommitteeError> {
        Ok(Self::new(
            genesis.network_id(),
            genesis.committee(Epoch::ZERO)?,
        ))
    }

    /// Trusts the genesis in a JSON file's bytes. Compare [`TrustedNetwork::id`] with a published id if
    /// the file came from a stranger.
    ///
    /// # Errors
    /// The bytes are no valid genesis.
    pub fn from_genesis_json(bytes: &[u8]) -> Result<Self, TrustError> {
        Ok(Self::from_genesis(&Genesis::from_json(bytes)?)?)
    }

    /// The network id.
    #[must_use]
    pub const fn id(&self) -> NetworkId {
        self.id
    }

    /// The committee of an epoch.
    #[must_use]
    pub fn committee(&self, epoch: Epoch) -> Committee {
        self.committee.in_epoch(epoch)
    }
}

/// Why a genesis can't be trusted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// Not a valid genesis.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// Its operators are no committee.
    #[error(transparent)]
    Committee(#[from] squad_primitives::committee::CommitteeError),
}
