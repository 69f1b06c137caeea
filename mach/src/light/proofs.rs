//! What a light client is shown, as bytes. Each format starts with its version.

use super::LightError;
use crate::committee::{self, Admission, MachMember};
use crate::tree::Path;
use crate::{Certificate, LedgerProof, ResultProof, RollupState, wire};
use squad_primitives::codec::{Decode as _, DecodeError, Encode as _, Reader};
use squad_primitives::{Epoch, NetworkId, TxId, merkle};

const ANCHOR_VERSION: u8 = 1;
const HANDOVER_VERSION: u8 = 1;
const ROLLUP_PROOF_VERSION: u8 = 1;
const TRANSACTION_PROOF_VERSION: u8 = 1;

/// Most leaves between the certified one and the proved one. A certificate covers at most as many
/// blocks as are made between two of them, which is far less.
pub const OLDER_LEAVES_MAX: usize = 1_024;

/// A trusted starting point: genesis, or a committee that somebody trusted has published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The network.
    pub network: NetworkId,
    /// Epoch of the committee.
    pub epoch: Epoch,
    /// When it was taken, in milliseconds since the Unix epoch.
    pub taken_ms: u64,
    /// Members with their proofs of possession.
    pub members: Vec<Admission>,
}

impl Anchor {
    /// version ‖ network ‖ epoch u64 ‖ taken_ms u64 ‖ members.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![ANCHOR_VERSION];
        out.extend_from_slice(&self.network.0);
        out.extend_from_slice(&self.epoch.0.to_be_bytes());
        out.extend_from_slice(&self.taken_ms.to_be_bytes());
        committee::encode_admissions(&self.members, &mut out);
        out
    }

    /// Reads an anchor; possessions are checked by [`super::LightClient::start`].
    ///
    /// # Errors
    /// [`LightError::Decode`], [`LightError::Committee`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LightError> {
        let mut reader = Reader::new(bytes);
        wire::version(&mut reader, "anchor version", ANCHOR_VERSION)?;
        let anchor = Self {
            network: wire::digest(&mut reader, "network id")?,
            epoch: Epoch(wire::long(&mut reader, "epoch")?),
            taken_ms: wire::long(&mut reader, "anchor time")?,
            members: committee::decode_admissions(&mut reader)?,
        };
        end(&reader)?;
        Ok(anchor)
    }
}

/// Shows the committee of the next epoch to somebody who knows this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handover {
    /// Any certificate of epoch e.
    pub certificate: Certificate,
    /// [`crate::Root::Ledger`] under the certified result.
    pub ledger: ResultProof,
    /// The entry of committee e + 1 under the ledger root.
    pub entry: LedgerProof,
    /// Members of committee e + 1.
    pub members: Vec<MachMember>,
}

impl Handover {
    /// version ‖ certificate ‖ result path ‖ ledger proof ‖ members.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![HANDOVER_VERSION];
        self.certificate.encode(&mut out);
        self.ledger.encode(&mut out);
        self.entry.encode(&mut out);
        committee::encode_members(&self.members, &mut out);
        out
    }

    /// Reads a hand-over; [`super::LightClient::follow`] verifies it.
    ///
    /// # Errors
    /// [`LightError::Decode`], [`LightError::Committee`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LightError> {
        let mut reader = Reader::new(bytes);
        wire::version(&mut reader, "hand-over version", HANDOVER_VERSION)?;
        let handover = Self {
            certificate: Certificate::decode(&mut reader)?,
            ledger: ResultProof::decode(&mut reader)?,
            entry: LedgerProof::decode(&mut reader)?,
            members: committee::decode_members(&mut reader)?,
        };
        end(&reader)?;
        Ok(handover)
    }
}

/// Shows a rollup's block under a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollupProof {
    /// Certificate of the block's height or a later one.
    pub certificate: Certificate,
    /// [`crate::Root::Rollups`] under the certified result.
    pub rollups: ResultProof,
    /// The rollup's leaf at the certified height.
    pub leaf: RollupState,
    /// Its path to the rollups root.
    pub path: Path,
    /// Leaves below it, newest first, down to the proved block; empty if the certified leaf is it.
    pub older: Vec<RollupState>,
}

impl RollupProof {
    /// version ‖ certificate ‖ result path ‖ leaf ‖ path ‖ older leaves.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![ROLLUP_PROOF_VERSION];
        self.encode(&mut out);
        out
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.certificate.encode(out);
        self.rollups.encode(out);
        out.extend_from_slice(&self.leaf.to_bytes());
        self.path.encode(out);
        wire::put_count(out, self.older.len());
        for leaf in &self.older {
            out.extend_from_slice(&leaf.to_bytes());
        }
    }

    /// Reads a proof; [`super::LightClient::verify_rollup`] verifies it.
    ///
    /// # Errors
    /// [`LightError::Decode`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LightError> {
        Ok(wire::whole(bytes, |reader| {
            wire::version(reader, "rollup proof version", ROLLUP_PROOF_VERSION)?;
            Self::decode(reader)
        })?)
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let certificate = Certificate::decode(reader)?;
        let rollups = ResultProof::decode(reader)?;
        let leaf = RollupState::decode(reader)?;
        let path = Path::decode(reader)?;
        let count = wire::count(
            reader,
            "older leaves",
            OLDER_LEAVES_MAX,
            crate::rollups::LEAF_BYTES,
        )?;
        let older = (0..count)
            .map(|_| RollupState::decode(reader))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            certificate,
            rollups,
            leaf,
            path,
            older,
        })
    }

    /// The leaf of the proved block.
    #[must_use]
    pub fn proved(&self) -> &RollupState {
        self.older.last().unwrap_or(&self.leaf)
    }
}

/// Shows a transaction in a rollup's block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionProof {
    /// The rollup's block.
    pub rollup: RollupProof,
    /// The transaction.
    pub id: TxId,
    /// Path of its id to the block's list root.
    pub path: merkle::Path,
}

impl TransactionProof {
    /// version ‖ rollup proof ‖ id ‖ path in the list tree's own encoding.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![TRANSACTION_PROOF_VERSION];
        self.rollup.encode(&mut out);
        out.extend_from_slice(&self.id.0);
        self.path.encode(&mut out);
        out
    }

    /// Reads a proof; [`super::LightClient::verify_transaction`] verifies it.
    ///
    /// # Errors
    /// [`LightError::Decode`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LightError> {
        Ok(wire::whole(bytes, |reader| {
            wire::version(
                reader,
                "transaction proof version",
                TRANSACTION_PROOF_VERSION,
            )?;
            Ok(Self {
                rollup: RollupProof::decode(reader)?,
                id: wire::digest(reader, "transaction id")?,
                path: merkle::Path::decode(reader)?,
            })
        })?)
    }
}

fn end(reader: &Reader<'_>) -> Result<(), DecodeError> {
    match reader.remaining() {
        0 => Ok(()),
        extra => Err(DecodeError::Trailing { extra }),
    }
}
