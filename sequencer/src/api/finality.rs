//! What is final, and the proofs of it. All views (gRPC, HTTP) go through here.

use super::blocks::Lookup;
use super::context::Context;
use super::errors::Failure;
use super::proofs::bytes_of;
use crate::node::mach::{
    AlertKind, AlertRecord, Finality, ProofError, handover, rollup_proof, transaction_proof,
};
use bytes::Bytes;
use squad_mach::Certificate;
use squad_primitives::{Digest, Epoch, Height, RollupId};
use squad_proto::mach;
use squad_proto::mach::is_final_request::Subject;
use squad_proto::reason::Reason;
use std::sync::Arc;

/// Most hand-overs of one answer.
const HANDOVERS_MAX: u64 = 64;

/// The node's view of finality.
pub(crate) fn of(ctx: &Context) -> Result<&Arc<Finality>, Failure> {
    ctx.node.finality.as_ref().ok_or_else(|| {
        let message = "no certificates here: the genesis names no finality keys, or this node does \
                       not follow certificates";
        Failure::new(Reason::NoFinality, message)
    })
}

fn not_final(what: &str, height: Height) -> Failure {
    let message = format!("{what} is not final yet; blocks up to {height} are");
    Failure::new(Reason::NotFinal, message).with("final_height", height)
}

impl From<ProofError> for Failure {
    fn from(error: ProofError) -> Self {
        match error {
            ProofError::Storage(error) => error.into(),
            ProofError::NotFinal(height) => not_final("what was asked for", height),
            ProofError::Pruned(earliest) => {
                Self::new(Reason::Pruned, error.to_string()).with("earliest_height", earliest)
            }
            ProofError::TooFar => Self::new(Reason::Pruned, error.to_string()),
            ProofError::Differs => Self::new(Reason::NoFinality, error.to_string()),
        }
    }
}

/// A certificate as a message.
pub(crate) fn message(finality: &Finality, certificate: &Certificate) -> mach::Certificate {
    let statement = &certificate.statement;
    let committee = finality.committee(statement.epoch);
    mach::Certificate {
        height: statement.height.0,
        epoch: statement.epoch.0,
        block: bytes_of(&statement.block),
        result_root: bytes_of(&statement.result_root),
        signed_stake: certificate.signers.power(&committee).0,
        total_stake: committee.total().0,
        encoded: certificate.to_bytes().into(),
    }
}

/// The lowest certificate at or above a height; the last one for 0.
pub(crate) fn certificate(
    ctx: &Context,
    height: u64,
) -> Result<mach::GetCertificateResponse, Failure> {
    let finality = of(ctx)?;
    let found = match height {
        0 => finality.last(),
        height => ctx.node.reader.certificate_from(Height(height))?,
    };
    let found = found.ok_or_else(|| not_final("this height", finality.height()))?;
    Ok(mach::GetCertificateResponse {
        certificate: Some(message(finality, &found)),
    })
}

/// Whether something is final.
pub(crate) fn is_final(
    ctx: &Context,
    request: &mach::IsFinalRequest,
) -> Result<mach::IsFinalResponse, Failure> {
    let finality = of(ctx)?;
    let mut answer = mach::IsFinalResponse {
        final_height: finality.height().0,
        diverged: finality.diverged().is_some(),
        ..mach::IsFinalResponse::default()
    };
    let proof = request.include_proof;
    match &request.subject {
        None => return Err(Failure::field("subject", "missing")),
        Some(Subject::Height(0)) => {
            return Err(Failure::field("height", "0 is genesis, which has no block"));
        }
        Some(Subject::Height(height)) => answer.height = *height,
        Some(Subject::RollupBlock(block)) => {
            let rollup = RollupId(block.rollup_id);
            answer.height = height_of(ctx, rollup, block.number)?.0;
            if proof && answer.height <= answer.final_height {
                let proof = rollup_proof(&ctx.node, finality, rollup, Height(answer.height))?;
                answer.rollup_proof = proof.to_bytes().into();
                answer.certificate = Some(message(finality, &proof.certificate));
            }
        }
        Some(Subject::TxId(id)) => transaction(ctx, finality, id, proof, &mut answer)?,
    }
    answer.r#final = answer.height > 0 && answer.height <= answer.final_height;
    if answer.r#final && answer.certificate.is_none() {
        let covering = ctx.node.reader.certificate_from(Height(answer.height))?;
        answer.certificate = covering.map(|found| message(finality, &found));
    }
    Ok(answer)
}

fn height_of(ctx: &Context, rollup: RollupId, number: u64) -> Result<Height, Failure> {
    if ctx.node.genesis.rollup(rollup).is_none() {
        let message = format!("rollup {rollup} is not registered");
        return Err(Failure::new(Reason::UnknownRollup, message));
    }
    match ctx.node.reader.rollup_block(rollup, number)? {
        Some((found, height)) if found == number => Ok(height),
        _ => {
            let message = format!("rollup {rollup} has no block {number} here");
            Err(Failure::new(Reason::UnknownBlock, message))
        }
    }
}

fn transaction(
    ctx: &Context,
    finality: &Finality,
    id: &[u8],
    proof: bool,
    answer: &mut mach::IsFinalResponse,
) -> Result<(), Failure> {
    let id: Digest = id
        .try_into()
        .map_err(|_| Failure::field("tx_id", format_args!("{} bytes, must be 32", id.len())))?;
    match ctx.locate(&id)? {
        Lookup::Found(found) => {
            answer.height = found.block.height().0;
            if proof && answer.height <= answer.final_height {
                let rollup = found.part().leaf.rollup;
                let proof =
                    transaction_proof(&ctx.node, finality, &found.block, rollup, found.position())?;
                answer.certificate = Some(message(finality, &proof.rollup.certificate));
                answer.transaction_proof = proof.to_bytes().into();
            }
        }
        Lookup::Pruned(height) if proof => {
            return Err(Failure::pruned(height, ctx.node.reader.earliest()));
        }
        Lookup::Pruned(height) => answer.height = height.0,
        Lookup::Unknown => {
            let ingress = ctx.node.ingress.as_ref();
            if ingress.is_none_or(|ingress| ingress.progress(&id).is_none()) {
                return Err(ctx.unknown_tx(&id));
            }
        }
    }
    Ok(())
}

/// Hand-overs from an epoch on.
pub(crate) fn handovers(
    ctx: &Context,
    request: &mach::GetHandoverRequest,
) -> Result<mach::GetHandoverResponse, Failure> {
    let finality = of(ctx)?;
    let first = request.epoch;
    let last = match request.to_epoch {
        0 => first.saturating_add(1),
        last => last,
    };
    if last <= first {
        let problem = format!("{last} is not above epoch {first}");
        return Err(Failure::field("to_epoch", problem));
    }
    if last - first > HANDOVERS_MAX {
        return Err(Failure::too_large("to_epoch", last - first, HANDOVERS_MAX));
    }
    let mut handovers: Vec<Bytes> = Vec::new();
    for epoch in first..last {
        match handover(&ctx.node, finality, Epoch(epoch)) {
            Ok(found) => handovers.push(found.to_bytes().into()),
            Err(ProofError::NotFinal(_)) if !handovers.is_empty() => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(mach::GetHandoverResponse { handovers })
}

/// An alert as a message.
pub(crate) fn alert(record: &AlertRecord) -> mach::Alert {
    use mach::AlertKind as Kind;
    let kind = match record.kind {
        AlertKind::Mismatch => Kind::Mismatch,
        AlertKind::Outvoted => Kind::Outvoted,
        AlertKind::ConflictingCertificates => Kind::ConflictingCertificates,
        AlertKind::QuorumLost => Kind::QuorumLost,
        AlertKind::QuorumRestored => Kind::QuorumRestored,
        AlertKind::Equivocation => Kind::Equivocation,
        AlertKind::Contradiction => Kind::Contradiction,
    };
    mach::Alert {
        kind: kind.into(),
        operator_id: record.operator.map(|operator| operator.0),
        first_height: record.first_height.0,
        last_height: record.last_height.0,
        count: record.count,
        last_ms: record.last_ms,
        evidence: record.evidence.clone().unwrap_or_default(),
    }
}
