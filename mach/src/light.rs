//! The light client: from one trusted committee to every certificate, rollup block and transaction.
//!
//! Everything is a function over bytes, so it works from files, without a connection.
//!
//! ```text
//! anchor (committee of e, possessions proved)
//!   └─ Handover: certificate of e ─ result_root ─ ledger_root ─ "committee/<e+1>" ─ members of e + 1
//!        └─ certificate of e + 1 ─ result_root ─ rollups_root ─ rollup leaf (─ older leaves) ─ transaction
//! ```
//!
//! An anchor older than the unbonding period is refused unless forced: those who signed for it may have
//! taken their stake back and lose nothing by signing another history (weak subjectivity).
//!
//! Of two valid certificates for one height with different statements the client makes evidence instead
//! of believing either.

use crate::committee::{self, Admission, CommitteeError, MachMember};
use crate::ledger::committee_key;
use crate::tree::Path;
use crate::{
    Certificate, CertificateError, Evidence, LedgerProof, MachCommittee, ResultProof, RollupState,
    Root, wire,
};
use squad_primitives::codec::{Decode as _, DecodeError, Encode as _};
use squad_primitives::{Digest, Epoch, Height, NetworkId, RollupId, TxId, merkle};
use std::collections::BTreeMap;

const ANCHOR_VERSION: u8 = 1;
const HANDOVER_VERSION: u8 = 1;
const ROLLUP_PROOF_VERSION: u8 = 1;
const TRANSACTION_PROOF_VERSION: u8 = 1;

/// Most leaves between the certified one and the proved one. A certificate covers at most as many
/// blocks as are made between two of them, which is far less.
pub const OLDER_LEAVES_MAX: usize = 1_024;

/// Verified certificates whose statements the client remembers, to notice a contradiction.
pub const REMEMBERED_MAX: usize = 1_024;

/// Why the light client refuses something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LightError {
    /// Bytes that are not the expected proof, for example a truncated one.
    #[error("proof: {0}")]
    Decode(#[from] DecodeError),
    /// A committee is refused; a key without possession is one of the cases.
    #[error(transparent)]
    Committee(#[from] CommitteeError),
    /// A certificate is refused.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The anchor is older than the unbonding period.
    #[error("anchor: {age_ms} ms old, at most {limit_ms} ms")]
    AnchorTooOld {
        /// Its age.
        age_ms: u64,
        /// The unbonding period.
        limit_ms: u64,
    },
    /// The committee of the certificate's epoch is not known; a hand-over is missing.
    #[error("epoch {found}: committees are known up to epoch {known}")]
    UnknownEpoch {
        /// Epoch of the certificate.
        found: Epoch,
        /// Last epoch with a known committee.
        known: Epoch,
    },
    /// A hand-over from another epoch than the last known one.
    #[error("hand-over: from epoch {found}, expected from epoch {expected}")]
    HandoverEpoch {
        /// Epoch of its certificate.
        found: Epoch,
        /// Last epoch with a known committee.
        expected: Epoch,
    },
    /// A path does not lead to the certified result.
    #[error("result path: does not lead to the certified result root")]
    ResultPath,
    /// A path does not lead to the ledger root for the next committee's key.
    #[error("ledger path: does not lead to the ledger root")]
    LedgerPath,
    /// The ledger's value is no committee root.
    #[error("ledger value: no committee root")]
    LedgerValue,
    /// The leaf does not lead to the rollups root.
    #[error("rollup path: does not lead to the rollups root")]
    RollupPath,
    /// An older leaf is not the one that the leaf above it names.
    #[error("rollup leaf {0} below the certified one: not what the leaf above it names")]
    OlderLeaf(usize),
    /// The proof is about another rollup.
    #[error("rollup: proof for {found}, expected {expected}")]
    Rollup {
        /// The proof's.
        found: RollupId,
        /// The wanted one.
        expected: RollupId,
    },
    /// The transaction's path does not lead to the list root of the rollup block.
    #[error("transaction path: does not lead to the list root of rollup block {0}")]
    TransactionPath(u64),
    /// Another certificate for the same height holds too; the evidence convicts those who signed both.
    #[error("height {height}: two valid certificates contradict each other")]
    Conflict {
        /// The height.
        height: Height,
        /// For any operator.
        evidence: Box<Evidence>,
    },
}

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

    /// Reads an anchor; possessions are checked by [`LightClient::start`].
    ///
    /// # Errors
    /// [`LightError::Decode`], [`LightError::Committee`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LightError> {
        let mut reader = squad_primitives::codec::Reader::new(bytes);
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
    /// [`Root::Ledger`] under the certified result.
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

    /// Reads a hand-over; [`LightClient::follow`] verifies it.
    ///
    /// # Errors
    /// [`LightError::Decode`], [`LightError::Committee`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LightError> {
        let mut reader = squad_primitives::codec::Reader::new(bytes);
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
    /// [`Root::Rollups`] under the certified result.
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

    /// Reads a proof; [`LightClient::verify_rollup`] verifies it.
    ///
    /// # Errors
    /// [`LightError::Decode`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LightError> {
        Ok(wire::whole(bytes, |reader| {
            wire::version(reader, "rollup proof version", ROLLUP_PROOF_VERSION)?;
            Self::decode(reader)
        })?)
    }

    fn decode(reader: &mut squad_primitives::codec::Reader<'_>) -> Result<Self, DecodeError> {
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

    /// Reads a proof; [`LightClient::verify_transaction`] verifies it.
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

/// See the module head.
#[derive(Clone, Debug)]
pub struct LightClient {
    network: NetworkId,
    /// Committees of the last epoch and the one before.
    committee: MachCommittee,
    previous: Option<MachCommittee>,
    highest: Height,
    seen: BTreeMap<Height, Certificate>,
}

impl LightClient {
    /// Starts from an anchor after checking its age and every possession. `now_ms` is the wall clock,
    /// `unbonding_ms` the network's unbonding period; `None` forces an anchor of any age.
    ///
    /// # Errors
    /// [`LightError::AnchorTooOld`], [`LightError::Committee`].
    pub fn start(
        anchor: Anchor,
        now_ms: u64,
        unbonding_ms: Option<u64>,
    ) -> Result<Self, LightError> {
        let age_ms = now_ms.saturating_sub(anchor.taken_ms);
        if let Some(limit_ms) = unbonding_ms
            && age_ms > limit_ms
        {
            return Err(LightError::AnchorTooOld { age_ms, limit_ms });
        }
        let committee = MachCommittee::admit(anchor.epoch, anchor.members)?;
        Ok(Self::trusting(anchor.network, committee))
    }

    /// Starts from a committee that the caller trusts already.
    #[must_use]
    pub const fn trusting(network: NetworkId, committee: MachCommittee) -> Self {
        Self {
            network,
            committee,
            previous: None,
            highest: Height::ZERO,
            seen: BTreeMap::new(),
        }
    }

    /// The last known committee.
    #[must_use]
    pub const fn committee(&self) -> &MachCommittee {
        &self.committee
    }

    /// Highest height with a verified certificate.
    #[must_use]
    pub const fn highest(&self) -> Height {
        self.highest
    }

    /// Verifies a certificate of the last known epoch or the one before it.
    ///
    /// # Errors
    /// [`LightError::UnknownEpoch`], [`LightError::Certificate`], [`LightError::Conflict`].
    pub fn verify_certificate(&mut self, certificate: &Certificate) -> Result<(), LightError> {
        let found = certificate.statement.epoch;
        let committee = [Some(&self.committee), self.previous.as_ref()]
            .into_iter()
            .flatten()
            .find(|committee| committee.epoch() == found)
            .ok_or(LightError::UnknownEpoch {
                found,
                known: self.committee.epoch(),
            })?;
        certificate.verify(&self.network, committee)?;
        let height = certificate.statement.height;
        match self.seen.get(&height) {
            Some(seen) if seen.statement != certificate.statement => {
                return Err(LightError::Conflict {
                    height,
                    evidence: Box::new(Evidence::ConflictingCertificates(Box::new([
                        seen.clone(),
                        certificate.clone(),
                    ]))),
                });
            }
            Some(_) => {}
            None => {
                self.seen.insert(height, certificate.clone());
                if self.seen.len() > REMEMBERED_MAX {
                    self.seen.pop_first();
                }
            }
        }
        self.highest = self.highest.max(height);
        Ok(())
    }

    /// Learns the committee of the next epoch.
    ///
    /// # Errors
    /// See [`LightError`]; on an error nothing has changed but the highest height.
    pub fn follow(&mut self, handover: Handover) -> Result<(), LightError> {
        let found = handover.certificate.statement.epoch;
        let expected = self.committee.epoch();
        if found != expected {
            return Err(LightError::HandoverEpoch { found, expected });
        }
        self.verify_certificate(&handover.certificate)?;
        let certified = handover.certificate.statement.result_root;
        if handover.ledger.result_root(Root::Ledger) != Some(certified) {
            return Err(LightError::ResultPath);
        }
        let next = expected.next();
        if handover.entry.root(&committee_key(next)) != Some(handover.ledger.value) {
            return Err(LightError::LedgerPath);
        }
        let root = Digest::try_from(handover.entry.value.as_slice())
            .map_err(|_| LightError::LedgerValue)?;
        let committee = MachCommittee::with_root(next, handover.members, &root)?;
        self.previous = Some(std::mem::replace(&mut self.committee, committee));
        Ok(())
    }

    /// Verifies a rollup's block. The answer says what is certain: its height (`last_height`), number,
    /// list root and count.
    ///
    /// # Errors
    /// See [`LightError`].
    pub fn verify_rollup(
        &mut self,
        proof: &RollupProof,
        rollup: RollupId,
    ) -> Result<RollupState, LightError> {
        self.verify_certificate(&proof.certificate)?;
        if proof.leaf.rollup != rollup {
            return Err(LightError::Rollup {
                found: proof.leaf.rollup,
                expected: rollup,
            });
        }
        let certified = proof.certificate.statement.result_root;
        if proof.rollups.result_root(Root::Rollups) != Some(certified) {
            return Err(LightError::ResultPath);
        }
        if proof.path.root(&proof.leaf.digest()) != Some(proof.rollups.value) {
            return Err(LightError::RollupPath);
        }
        let mut above = &proof.leaf;
        for (index, leaf) in proof.older.iter().enumerate() {
            if leaf.digest() != above.previous {
                return Err(LightError::OlderLeaf(index));
            }
            above = leaf;
        }
        Ok(*above)
    }

    /// Verifies that a transaction stands in a rollup's block, which is returned.
    ///
    /// # Errors
    /// See [`LightError`].
    pub fn verify_transaction(
        &mut self,
        proof: &TransactionProof,
        rollup: RollupId,
    ) -> Result<RollupState, LightError> {
        let block = self.verify_rollup(&proof.rollup, rollup)?;
        let leads = proof.path.count == block.tx_count
            && proof.path.root(&proof.id) == Some(block.list_root);
        if leads {
            Ok(block)
        } else {
            Err(LightError::TransactionPath(block.number))
        }
    }
}

fn end(reader: &squad_primitives::codec::Reader<'_>) -> Result<(), DecodeError> {
    match reader.remaining() {
        0 => Ok(()),
        extra => Err(DecodeError::Trailing { extra }),
    }
}
