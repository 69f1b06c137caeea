//! Finality: certificates of more than two thirds of stake, checked by a light client.
//!
//! The light client itself ([`LightClient`]) works on bytes alone. Here is what gets the bytes: hand-overs
//! from the committee that it knows to the one that signed, and the proof of a transaction or block. Whoever
//! serves them can withhold, not lie.

use crate::{Client, Endpoint, Refusal};
use bytes::Bytes;
use squad_mach::{
    CommitteeError, Handover, LightClient, LightError, RollupState, TransactionProof,
};
use squad_primitives::genesis::Genesis;
use squad_primitives::{Epoch, TxId};
use squad_proto::mach::is_final_request::Subject;
use squad_proto::mach::{GetHandoverRequest, IsFinalRequest};

/// Hand-overs asked for at once; a server gives no more.
const HANDOVERS_PER_CALL: u64 = 64;

/// Why finality is not shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FinalityError {
    /// The operator gives no proof.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// What it gave does not hold.
    #[error(transparent)]
    Untrue(#[from] LightError),
    /// The genesis names no finality keys.
    #[error("genesis: the operators have no finality keys, so nothing is certified")]
    NoKeys,
    /// The genesis names keys that are refused.
    #[error("genesis: {0}")]
    Committee(#[from] CommitteeError),
    /// Not final yet.
    #[error("not final yet: block {height}, blocks up to {final_height} are")]
    NotFinal {
        /// Height of its block; 0 if it is not ordered.
        height: u64,
        /// Height up to which the operator's blocks are final.
        final_height: u64,
    },
    /// The proof is about another transaction.
    #[error("proof: of another transaction, {0}")]
    OtherTransaction(TxId),
}

/// A light client that trusts a genesis, of any age: the genesis is what the network is.
///
/// # Errors
/// [`FinalityError::NoKeys`], [`FinalityError::Committee`].
pub fn light_client(genesis: &Genesis) -> Result<LightClient, FinalityError> {
    let anchor = squad_mach::genesis::anchor(genesis)?.ok_or(FinalityError::NoKeys)?;
    Ok(LightClient::start(anchor, genesis.genesis_time_ms, None)?)
}

/// A transaction that is final, with the bytes that show it to others.
#[derive(Clone, Debug)]
pub struct FinalTransaction {
    /// The rollup's block that holds it.
    pub block: RollupState,
    /// The proof.
    pub proof: TransactionProof,
    /// Hand-overs that were followed, in order: what somebody needs who knows what the light client
    /// knew before.
    pub handovers: Vec<Handover>,
}

impl Endpoint {
    /// Gets hand-overs until the light client knows the committee of an epoch; returns them.
    ///
    /// # Errors
    /// The operator refuses, or what it gives does not hold.
    pub async fn follow_committees(
        &self,
        light: &mut LightClient,
        epoch: Epoch,
    ) -> Result<Vec<Handover>, FinalityError> {
        let mut followed = Vec::new();
        while light.committee().epoch() < epoch {
            let known = light.committee().epoch();
            let request = GetHandoverRequest {
                epoch: known.0,
                to_epoch: epoch.0.min(known.0.saturating_add(HANDOVERS_PER_CALL)),
            };
            let answer = self.finality().get_handover(request).await;
            let handovers = answer.map_err(Refusal::from)?.into_inner().handovers;
            for bytes in &handovers {
                let handover = Handover::from_bytes(bytes)?;
                light.follow(handover.clone())?;
                followed.push(handover);
            }
            if handovers.is_empty() {
                return Err(LightError::UnknownEpoch {
                    found: epoch,
                    known,
                }
                .into());
            }
        }
        Ok(followed)
    }

    /// Gets the proof that a transaction is final and checks it.
    ///
    /// # Errors
    /// See [`FinalityError`].
    pub async fn prove_final(
        &self,
        light: &mut LightClient,
        id: TxId,
    ) -> Result<FinalTransaction, FinalityError> {
        let request = IsFinalRequest {
            subject: Some(Subject::TxId(Bytes::copy_from_slice(&id.0))),
            include_proof: true,
        };
        let answer = self.finality().is_final(request).await;
        let answer = answer.map_err(Refusal::from)?.into_inner();
        if !answer.r#final {
            return Err(FinalityError::NotFinal {
                height: answer.height,
                final_height: answer.final_height,
            });
        }
        let proof = TransactionProof::from_bytes(&answer.transaction_proof)?;
        if proof.id != id {
            return Err(FinalityError::OtherTransaction(proof.id));
        }
        let epoch = proof.rollup.certificate.statement.epoch;
        let handovers = self.follow_committees(light, epoch).await?;
        let rollup = proof.rollup.leaf.rollup;
        Ok(FinalTransaction {
            block: light.verify_transaction(&proof, rollup)?,
            proof,
            handovers,
        })
    }
}

impl Client {
    /// Gets the proof that a transaction is final from one operator after the other, and checks it.
    ///
    /// # Errors
    /// Why the last one's does not show it.
    pub async fn prove_final(
        &self,
        light: &mut LightClient,
        id: TxId,
    ) -> Result<FinalTransaction, FinalityError> {
        let mut last = FinalityError::Refused(Refusal::no_answer());
        for step in 0..self.endpoints.len() {
            let at = (self.preferred() + step) % self.endpoints.len();
            let proof = self.endpoints[at].prove_final(light, id);
            match tokio::time::timeout(self.config.call_timeout, proof).await {
                Ok(Ok(found)) => return Ok(found),
                Ok(Err(error)) => last = error,
                Err(_) => last = FinalityError::Refused(Refusal::no_answer()),
            }
        }
        Err(last)
    }
}
