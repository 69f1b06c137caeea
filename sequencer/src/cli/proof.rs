//! Inclusion proofs, checked here against the genesis and never taken on the node's word.

use super::args::GlobalArgs;
use super::connect::{self, ANSWER_TIMEOUT};
use super::exit::{Code, Failure, Outcome};
use squad_client::{Endpoint, v1};
use squad_primitives::certificate::CommitProof;
use squad_primitives::genesis::Genesis;
use squad_primitives::merkle::Path;
use squad_primitives::order::{LeafProof, OrderResult};
use squad_primitives::{
    BatchHeader, Block, Committee, Digest, Ed25519Verifier, Epoch, NetworkId, OperatorId,
    Signature, Stake, TxId,
};
use std::collections::BTreeSet;

/// A proof that holds.
#[derive(Debug)]
pub(crate) struct Proven {
    /// Height of the block.
    pub(crate) height: u64,
    /// The transaction's rollup.
    pub(crate) rollup: u64,
    /// Position among the rollup's transactions of the block.
    pub(crate) position: u32,
    /// What exactly was shown, in words.
    pub(crate) checked: String,
}

/// Asks for the proof of a transaction and checks it.
///
/// # Errors
/// Exit code 10 if the node belongs to another network than the genesis, 14 if the proof does not hold.
pub(crate) async fn fetch(
    global: &GlobalArgs,
    endpoint: &Endpoint,
    genesis: &Genesis,
    id: TxId,
) -> Outcome<Proven> {
    let network = genesis.network_id();
    let (found, _) = connect::status(global, endpoint, ANSWER_TIMEOUT).await?;
    if found != network {
        return Err(Failure::new(
            Code::Network,
            format!("the node is in network {found}, the genesis is that of {network}"),
        ));
    }
    let request = v1::GetInclusionProofRequest {
        transaction: Some(v1::get_inclusion_proof_request::Transaction::TxId(
            id.0.to_vec().into(),
        )),
    };
    let mut client = endpoint.blocks();
    let call = client.get_inclusion_proof(request);
    let response = connect::answer(endpoint, ANSWER_TIMEOUT, call).await?;
    let check = Check {
        network,
        genesis,
        id,
    };
    check
        .response(&response)
        .map_err(|reason| Failure::new(Code::Verification, format!("proof of {id}: {reason}")))
}

struct Check<'a> {
    network: NetworkId,
    genesis: &'a Genesis,
    id: TxId,
}

fn part<'a, M, T>(name: &str, message: Option<&'a M>) -> Result<T, String>
where
    T: TryFrom<&'a M>,
    T::Error: std::fmt::Display,
{
    let message = message.ok_or_else(|| format!("{name} is missing"))?;
    T::try_from(message).map_err(|error| format!("{name}: {error}"))
}

fn ensure(holds: bool, reason: &str) -> Result<(), String> {
    if holds {
        Ok(())
    } else {
        Err(reason.to_owned())
    }
}

impl Check<'_> {
    fn committee(&self, epoch: Epoch) -> Result<Committee, String> {
        self.genesis
            .committee(epoch)
            .map_err(|error| error.to_string())
    }

    fn response(&self, response: &v1::GetInclusionProofResponse) -> Result<Proven, String> {
        let availability = response
            .availability
            .as_ref()
            .ok_or("availability is missing")?;
        let block = self.availability(availability)?;
        let order = response.order.as_ref().ok_or("order is missing")?;
        let (rollup, position, attested) = self.order(order, &block)?;
        let total = self.committee(block.at.epoch)?.total();
        Ok(Proven {
            height: block.height.0,
            rollup,
            position,
            checked: format!(
                "the block is final by its commit certificate and holds the transaction; its place \
                 is attested by stake {attested} of {total}"
            ),
        })
    }

    /// The transaction is in a batch whose lane the final block's cut covers.
    fn availability(&self, proof: &v1::AvailabilityProof) -> Result<Block, String> {
        let block: Block = part("block", proof.block.as_ref())?;
        let commit: CommitProof = part("commit", proof.commit.as_ref())?;
        let committee = self.committee(commit.certificate.statement.at.epoch)?;
        commit
            .verify(&self.network, &block, &committee, &Ed25519Verifier)
            .map_err(|error| error.to_string())?;

        let mut below: Option<Digest> = None;
        let mut first_root = None;
        let mut lane = OperatorId(0);
        for message in &proof.headers {
            let header: BatchHeader = part("headers", Some(message))?;
            ensure(
                below.is_none_or(|digest| header.parent == digest),
                "headers do not chain",
            )?;
            first_root.get_or_insert(header.body_root);
            lane = header.lane;
            below = Some(header.digest(&self.network));
        }
        let tip = block.cut.tip(lane).map(|tip| tip.digest);
        ensure(
            below.is_some() && tip == below,
            "the headers do not lead to the block's cut",
        )?;
        let path: Path = part("path", proof.path.as_ref())?;
        ensure(
            path.root(&self.id) == first_root,
            "the batch does not hold the transaction",
        )?;
        Ok(block)
    }

    /// The place of the transaction under an attested result of that block.
    fn order(&self, proof: &v1::OrderProof, block: &Block) -> Result<(u64, u32, Stake), String> {
        let result: OrderResult = part("result", proof.result.as_ref())?;
        ensure(
            result.block == block.hash(&self.network)
                && result.height == block.height
                && result.epoch == block.at.epoch,
            "the result is that of another block",
        )?;
        let leaf: LeafProof = part("leaf", proof.leaf.as_ref())?;
        ensure(
            leaf.path.count == result.rollup_count
                && leaf.path.root(&leaf.leaf.digest(&self.network)) == Some(result.order_root),
            "the leaf is not in the result",
        )?;
        let position: Path = part("position", proof.position.as_ref())?;
        ensure(
            position.count == leaf.leaf.tx_count
                && position.root(&self.id) == Some(leaf.leaf.list_root),
            "the position is not that of the transaction",
        )?;
        let committee = self.committee(result.epoch)?;
        let mut attesters = BTreeSet::new();
        for message in &proof.attestations {
            let (operator, signature): (OperatorId, Signature) =
                part("attestations", Some(message))?;
            ensure(
                result.verify_attestation(
                    &self.network,
                    &committee,
                    operator,
                    &signature,
                    &Ed25519Verifier,
                ),
                &format!("the attestation of operator {operator} is not valid"),
            )?;
            attesters.insert(operator);
        }
        let stake = committee.stake_of(&attesters);
        Ok((leaf.leaf.rollup.0, position.index, stake))
    }
}
