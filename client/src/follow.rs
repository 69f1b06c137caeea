//! Following blocks with every claim checked, across lost connections and operators.
//!
//! For each block, in height order: its commit certificate, that it extends the one before, its lists
//! under the result's root, payloads against ids, that a rollup's block numbers have no gap, and under
//! [`Trust::Attested`] that operators of more than one third of stake attest the result, asking others
//! where the followed one does not hold enough.
//!
//! A block that fails a check is not given out. The error names the operator, which is left; the next
//! call goes on with the same height at another one.

use crate::verify::attestation::{AttestationError, Attestations};
use crate::verify::chain::{Chain, ChainError};
use crate::verify::header::{HeaderError, VerifiedHeader};
use crate::verify::rollup::{RollupBlock, RollupError};
use crate::witness::Witnesses;
use crate::{BlockStream, Content, Endpoint, RawBlock, StreamError, Subscription, TrustedNetwork};
use squad_primitives::{Height, RollupId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Whose word is enough for the order inside a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The followed operator's. That the block is final is checked all the same.
    Operator,
    /// That of operators with more than one third of stake.
    Attested,
}

/// What to follow.
#[derive(Clone, Debug)]
pub struct Follow {
    /// First height; 1 is the first block.
    pub from: Height,
    /// One rollup, or all of them.
    pub rollup: Option<RollupId>,
    /// Whether transactions come with their ids.
    pub payloads: bool,
    /// Whose word is enough.
    pub trust: Trust,
    /// How long to go on without progress.
    pub patience: Duration,
}

/// A checked block.
#[derive(Clone, Debug, PartialEq)]
pub struct FollowedBlock {
    /// Its header.
    pub header: VerifiedHeader,
    /// Its lists, ascending by rollup: of the followed rollup at most one.
    pub rollups: Vec<RollupBlock>,
}

/// Why following stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// No operator gives the blocks.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// What an operator sent does not hold. The next call asks another one.
    #[error("{operator}: block {height}: {error}")]
    Untrue {
        /// Address of the operator.
        operator: String,
        /// Height in question.
        height: Height,
        /// What does not hold.
        error: Untrue,
    },
    /// Too little stake attests the result. The next call tries again.
    #[error("block {height}: {error}")]
    NotAttested {
        /// Height in question.
        height: Height,
        /// How much was found.
        error: AttestationError,
    },
}

/// A claim that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Untrue {
    /// The header.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// Its place in the chain.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The lists.
    #[error(transparent)]
    Rollup(#[from] RollupError),
    /// The numbers of a rollup's blocks have a gap.
    #[error("rollup {rollup}: block number {found} after {last}")]
    Number {
        /// The rollup.
        rollup: RollupId,
        /// Number before.
        last: u64,
        /// Number that came.
        found: u64,
    },
}

/// Follows blocks; made by [`crate::Client`].
#[derive(Debug)]
pub struct Follower {
    trusted: Arc<TrustedNetwork>,
    endpoints: Arc<[Endpoint]>,
    follow: Follow,
    stream: BlockStream,
    chain: Chain,
    numbers: BTreeMap<RollupId, u64>,
    witnesses: Option<Witnesses>,
    /// Checked, but not attested enough yet.
    waiting: Option<(FollowedBlock, Attestations)>,
}

impl Follower {
    /// Follows through `endpoints`, the `first` one to begin with.
    pub(crate) fn new(
        trusted: Arc<TrustedNetwork>,
        endpoints: Arc<[Endpoint]>,
        first: usize,
        follow: Follow,
    ) -> Self {
        let subscription = Subscription {
            from: Some(follow.from),
            rollup: follow.rollup,
            content: match follow.payloads {
                true => Content::Transactions,
                false => Content::Ids,
            },
            patience: follow.patience,
        };
        let chain = match follow.from {
            Height(1) => Chain::from_genesis(trusted.id()),
            _ => Chain::from_first(),
        };
        Self {
            stream: BlockStream::new(endpoints.clone(), first, subscription),
            trusted,
            endpoints,
            follow,
            chain,
            numbers: BTreeMap::new(),
            witnesses: None,
            waiting: None,
        }
    }

    /// The next block. May be dropped and called again without losing anything.
    ///
    /// # Errors
    /// See [`FollowError`]. After any but [`FollowError::Stream`] another call is worth it.
    pub async fn next(&mut self) -> Result<FollowedBlock, FollowError> {
        if self.waiting.is_none() {
            let raw = self.stream.next().await?;
            let height = raw.height;
            match self.check(&raw) {
                Ok(checked) => self.waiting = Some(checked),
                Err(error) => {
                    let operator = self.endpoints[self.stream.endpoint()].uri().to_string();
                    self.stream.go_elsewhere(height);
                    return Err(FollowError::Untrue {
                        operator,
                        height,
                        error,
                    });
                }
            }
        }
        self.attest().await?;
        let (block, _) = self.waiting.take().expect("set above and kept by attest");
        Ok(block)
    }

    /// All checks of one operator's block that need no other operator. The chain moves on only if all
    /// hold.
    fn check(&mut self, raw: &RawBlock) -> Result<(FollowedBlock, Attestations), Untrue> {
        let header = self.trusted.verify_header(&raw.header)?;
        let mut chain = self.chain.clone();
        chain.extend(&header)?;
        let rollups = match self.follow.rollup {
            Some(rollup) => {
                let block = self.trusted.verify_rollup(&header, rollup, &raw.entries)?;
                block.into_iter().collect()
            }
            None => self.trusted.verify_all_rollups(&header, &raw.entries)?,
        };
        let from_genesis = self.follow.from == Height(1);
        for block in &rollups {
            let last = self.numbers.get(&block.rollup).copied();
            let last = last.or(from_genesis.then_some(0));
            if let Some(last) = last.filter(|last| block.number != last + 1) {
                return Err(Untrue::Number {
                    rollup: block.rollup,
                    last,
                    found: block.number,
                });
            }
        }
        for block in &rollups {
            self.numbers.insert(block.rollup, block.number);
        }
        self.chain = chain;
        let mut attestations = Attestations::new(&self.trusted, *header.result());
        for (operator, signature) in header.attestations() {
            // Those that don't hold just don't count: an operator may pass on what it can't check yet.
            attestations.add(*operator, signature).ok();
        }
        Ok((FollowedBlock { header, rollups }, attestations))
    }

    /// Waits until the waiting block's result is attested enough.
    async fn attest(&mut self) -> Result<(), FollowError> {
        let Some((block, attestations)) = &mut self.waiting else {
            return Ok(());
        };
        if self.follow.trust == Trust::Operator || attestations.check().is_ok() {
            return Ok(());
        }
        let height = block.header.height();
        let witnesses = self.witnesses.get_or_insert_with(|| {
            let followed = self.stream.endpoint();
            let others = self.endpoints.iter().enumerate();
            let others = others.filter(|(index, _)| *index != followed);
            let others = others.map(|(_, endpoint)| endpoint.clone());
            Witnesses::start(others, height, self.follow.patience)
        });
        loop {
            let error = match attestations.check() {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let Some(testimony) = witnesses.next(height).await else {
                // All witnesses have spoken or ended; the next call starts them again.
                self.witnesses = None;
                return Err(FollowError::NotAttested { height, error });
            };
            for attestation in &testimony.attestations {
                if let Ok((operator, signature)) = attestation.try_into() {
                    attestations.add(operator, &signature).ok();
                }
            }
        }
    }
}
