//! Proofs of inclusion, checked here against the genesis and never taken on a node's word.

use super::args::GlobalArgs;
use super::connect::{self, ANSWER_TIMEOUT};
use super::exit::{Code, Failure, OrExit as _, Outcome};
use squad_client::verify::inclusion::{InclusionClaim, InclusionClaims, VerifiedInclusion};
use squad_client::{Endpoint, TrustedNetwork, v1};
use squad_primitives::genesis::Genesis;
use squad_primitives::{Stake, TxId};

/// A proof that holds.
#[derive(Debug)]
pub(crate) struct Proven {
    /// The transaction's place.
    pub(crate) place: VerifiedInclusion,
    /// Stake of the operators that attest it.
    pub(crate) attested: Stake,
    /// Stake of all operators.
    pub(crate) total: Stake,
    /// Whether one of those who attest it must be honest.
    pub(crate) enough: bool,
}

impl Proven {
    fn new(claim: InclusionClaim) -> Self {
        Self {
            attested: claim.attestations().stake(),
            total: claim.attestations().total(),
            enough: claim.check().is_ok(),
            place: claim.trusted(),
        }
    }
}

/// Asks one node after the other until operators of more than one third of stake attest the
/// transaction's place; an operator attests for itself only. Fewer are enough if `accept_unattested`.
///
/// # Errors
/// Exit code 14 if a proof does not hold, or too few attest it; else why the first node gave none.
pub(crate) async fn fetch(
    global: &GlobalArgs,
    endpoints: &[Endpoint],
    genesis: &Genesis,
    id: TxId,
    accept_unattested: bool,
) -> Outcome<Proven> {
    let trusted = TrustedNetwork::from_genesis(genesis).or_exit(Code::Config)?;
    let mut claims = InclusionClaims::default();
    let mut failure = None;
    for endpoint in endpoints {
        match ask(global, endpoint, &trusted, id).await {
            Ok(claim) => {
                if claims.add(claim).is_ok() {
                    break;
                }
            }
            Err(found) => {
                failure.get_or_insert(found.context(endpoint.uri().to_string()));
            }
        }
    }
    let Some(best) = claims.into_best() else {
        return Err(failure.unwrap_or_else(|| Failure::new(Code::Usage, "no endpoint")));
    };
    let proven = Proven::new(best);
    if proven.enough || accept_unattested {
        return Ok(proven);
    }
    let also = failure.map_or_else(String::new, |failure| format!("; {failure}"));
    Err(Failure::new(
        Code::Verification,
        format!(
            "proof of {id}: block {} is final and holds the transaction, but its place is attested by \
             stake {} of {} only, which is not more than a third: name more operators with --endpoint, or \
             take this one at its word with --accept-unattested{also}",
            proven.place.height, proven.attested, proven.total
        ),
    ))
}

async fn ask(
    global: &GlobalArgs,
    endpoint: &Endpoint,
    trusted: &TrustedNetwork,
    id: TxId,
) -> Outcome<InclusionClaim> {
    let network = trusted.id();
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
    trusted
        .check_inclusion(&response, id)
        .or_exit(Code::Verification)
        .map_err(|failure| failure.context(format!("proof of {id}")))
}
