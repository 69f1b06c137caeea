//! The SDK's entry: several operators, one view.

use crate::follow::{Follow, Follower, Trust};
use crate::status::{StatusStream, Watch};
use crate::verify::inclusion::{InclusionClaims, InclusionError, VerifiedInclusion};
use crate::{Endpoint, EndpointError, Refusal, TrustedNetwork, v1};
use squad_primitives::{EXPIRY_BLOCKS_DEFAULT, Height, RollupId, TxId};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Settings of a client.
#[derive(Clone, Copy, Debug)]
pub struct ClientConfig {
    /// Longest time that one submission may take, retries included.
    pub submit_timeout: Duration,
    /// Longest wait for one answer.
    pub call_timeout: Duration,
    /// How many blocks after the head a prepared transaction expires; at most what the network allows.
    pub expiry_blocks: u64,
    /// How long to follow without progress before giving up.
    pub patience: Duration,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            submit_timeout: Duration::from_secs(30),
            call_timeout: Duration::from_secs(10),
            expiry_blocks: EXPIRY_BLOCKS_DEFAULT,
            patience: Duration::from_secs(60),
        }
    }
}

/// Talks to a network through several of its operators. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) trusted: Arc<TrustedNetwork>,
    pub(crate) endpoints: Arc<[Endpoint]>,
    pub(crate) config: ClientConfig,
    /// Endpoint that answered last.
    preferred: Arc<AtomicUsize>,
}

/// Why there is no client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No operator was named.
    #[error("client: at least one endpoint is needed")]
    NoEndpoint,
    /// An address that is none.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

/// Why there is no proof of a transaction's place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// No operator gives one, for instance because it is not ordered.
    #[error(transparent)]
    Refused(Refusal),
    /// What was given does not hold, or too few attest it.
    #[error(transparent)]
    Untrue(InclusionError),
}

impl Client {
    /// Names the operators' gRPC addresses; connects when first used. Must be called inside a tokio
    /// runtime.
    ///
    /// # Errors
    /// No address, or one that is no URI.
    pub fn new<'a>(
        trusted: TrustedNetwork,
        endpoints: impl IntoIterator<Item = &'a str>,
        config: ClientConfig,
    ) -> Result<Self, ClientError> {
        let endpoints: Vec<_> = endpoints
            .into_iter()
            .map(Endpoint::new)
            .collect::<Result<_, _>>()?;
        Self::with_endpoints(trusted, endpoints, config)
    }

    /// The same for endpoints that were made before, as those with TLS ([`Endpoint::with_ca`]).
    ///
    /// # Errors
    /// No endpoint.
    pub fn with_endpoints(
        trusted: TrustedNetwork,
        endpoints: Vec<Endpoint>,
        config: ClientConfig,
    ) -> Result<Self, ClientError> {
        if endpoints.is_empty() {
            return Err(ClientError::NoEndpoint);
        }
        Ok(Self {
            trusted: Arc::new(trusted),
            endpoints: endpoints.into(),
            config,
            preferred: Arc::new(AtomicUsize::new(0)),
        })
    }

    /// The network that this client trusts.
    #[must_use]
    pub fn trusted(&self) -> &TrustedNetwork {
        &self.trusted
    }

    /// The operators.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    pub(crate) fn preferred(&self) -> usize {
        self.preferred.load(Ordering::Relaxed)
    }

    pub(crate) fn prefer(&self, endpoint: usize) {
        self.preferred.store(endpoint, Ordering::Relaxed);
    }

    /// Status of the first operator that answers; nothing in it is proven.
    ///
    /// # Errors
    /// The last refusal if none answers.
    pub async fn operator_status(&self) -> Result<v1::GetStatusResponse, Refusal> {
        self.ask(|endpoint| async move {
            let mut service = endpoint.operators();
            service.get_status(v1::GetStatusRequest {}).await
        })
        .await
    }

    /// Status of a transaction, from the first operator that knows it; nothing in it is proven.
    ///
    /// # Errors
    /// The last refusal: `UNKNOWN_TX` if no operator knows it.
    pub async fn transaction_status(&self, id: TxId) -> Result<v1::TransactionStatus, Refusal> {
        let answer = self
            .ask(|endpoint| async move {
                let request = v1::GetTransactionStatusRequest {
                    tx_id: id.0.to_vec().into(),
                    include_proof: false,
                };
                endpoint.sequencer().get_transaction_status(request).await
            })
            .await?;
        Ok(answer.status.unwrap_or_default())
    }

    /// Proves that a transaction is ordered, and where. Operators are asked one after the other until
    /// those of more than one third of stake attest the place.
    ///
    /// # Errors
    /// No operator gives a proof, or what the last one gave does not hold.
    pub async fn prove_inclusion(&self, id: TxId) -> Result<VerifiedInclusion, ProofError> {
        let mut claims = InclusionClaims::default();
        let mut last = None;
        for step in 0..self.endpoints.len() {
            let at = (self.preferred() + step) % self.endpoints.len();
            let request = v1::GetInclusionProofRequest {
                transaction: Some(v1::get_inclusion_proof_request::Transaction::TxId(
                    id.0.to_vec().into(),
                )),
            };
            let mut service = self.endpoints[at].blocks();
            let answer = match self.timed(service.get_inclusion_proof(request)).await {
                Ok(answer) => answer,
                Err(refusal) => {
                    last.get_or_insert(ProofError::Refused(refusal));
                    continue;
                }
            };
            let claim = self.trusted.check_inclusion(&answer, id);
            match claim.and_then(|claim| Ok(claims.add(claim)?)) {
                Ok(inclusion) => return Ok(inclusion),
                Err(error) => last = Some(ProofError::Untrue(error)),
            }
        }
        Err(last.expect("there is at least one endpoint"))
    }

    /// Follows the statuses of transactions until each has its last one.
    ///
    /// # Panics
    /// More than 1,000 transactions.
    #[must_use]
    pub fn follow_transactions(&self, ids: Vec<TxId>) -> StatusStream {
        self.follow_status(Watch::transactions(ids))
    }

    /// Follows statuses.
    #[must_use]
    pub fn follow_status(&self, watch: Watch) -> StatusStream {
        let patience = self.config.patience;
        StatusStream::new(self.endpoints.clone(), self.preferred(), watch, patience)
    }

    /// Follows a rollup's transactions from a height on, payloads included, checked and attested.
    #[must_use]
    pub fn follow_rollup(&self, rollup: RollupId, from: Height) -> Follower {
        self.follow(Follow {
            from,
            rollup: Some(rollup),
            payloads: true,
            trust: Trust::Attested,
            patience: self.config.patience,
        })
    }

    /// Follows all blocks with the ids of all transactions from a height on, checked and attested.
    #[must_use]
    pub fn follow_blocks(&self, from: Height) -> Follower {
        self.follow(Follow {
            from,
            rollup: None,
            payloads: false,
            trust: Trust::Attested,
            patience: self.config.patience,
        })
    }

    /// Follows as asked.
    #[must_use]
    pub fn follow(&self, follow: Follow) -> Follower {
        let (trusted, endpoints) = (self.trusted.clone(), self.endpoints.clone());
        Follower::new(trusted, endpoints, self.preferred(), follow)
    }

    /// Asks one operator after the other until one answers with OK.
    pub(crate) async fn ask<T, F>(&self, call: impl Fn(Endpoint) -> F) -> Result<T, Refusal>
    where
        F: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    {
        let first = self.preferred();
        let mut last = None;
        for step in 0..self.endpoints.len() {
            let at = (first + step) % self.endpoints.len();
            let answer = self.timed(call(self.endpoints[at].clone())).await;
            match answer {
                Ok(answer) => {
                    self.prefer(at);
                    return Ok(answer);
                }
                Err(refusal) => last = Some(refusal),
            }
        }
        Err(last.expect("there is at least one endpoint"))
    }

    /// One call with its timeout.
    pub(crate) async fn timed<T>(
        &self,
        call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    ) -> Result<T, Refusal> {
        match tokio::time::timeout(self.config.call_timeout, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(status.into()),
            Err(_) => Err(Refusal::no_answer()),
        }
    }
}
