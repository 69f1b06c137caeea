//! Reads one operator's blocks.

use super::Expected;
use crate::run::tracker::prefixes;
use squad_client::follow::Untrue;
use squad_client::verify::chain::Chain;
use squad_client::{
    BlockStream, Content, Endpoint, RawBlock, StreamError, Subscription, TrustedNetwork,
};
use squad_primitives::Height;
use std::time::Duration;

/// What one operator delivered.
#[derive(Clone, Debug, Default)]
pub struct OperatorScan {
    /// Digest over block hash and ids, by height from the first one.
    pub blocks: Vec<[u8; 32]>,
    /// How often each expected transaction was ordered; stays at 255 beyond.
    pub counts: Vec<u8>,
    /// Transactions in the run's rollups that the run did not send.
    pub strangers: u64,
    /// First block that does not hold under the trusted genesis, with the reason.
    pub untrue: Option<(Height, Untrue)>,
}

/// Checks certificates, chain and roots of an operator's blocks.
#[derive(Debug)]
struct Verifier<'a> {
    trusted: &'a TrustedNetwork,
    chain: Chain,
}

impl Verifier<'_> {
    fn verify(&mut self, block: &RawBlock) -> Result<(), Untrue> {
        let header = self.trusted.verify_header(&block.header)?;
        self.chain.extend(&header)?;
        self.trusted.verify_all_rollups(&header, &block.entries)?;
        Ok(())
    }
}

/// Reads an operator's blocks from `first` to `last`, and checks them if a genesis is trusted.
///
/// # Errors
/// Those of the stream: refused, given up after `patience`, or inconsistent.
pub async fn scan(
    endpoint: &Endpoint,
    first: Height,
    last: Height,
    expected: &Expected,
    trusted: Option<&TrustedNetwork>,
    patience: Duration,
) -> Result<OperatorScan, StreamError> {
    let subscription = Subscription {
        from: Some(first),
        rollup: None,
        content: Content::Ids,
        patience,
    };
    let mut stream = BlockStream::new([endpoint.clone()].into(), 0, subscription);
    let mut scanned = OperatorScan {
        counts: vec![0; expected.len()],
        ..OperatorScan::default()
    };
    let mut verifier = trusted.map(|trusted| Verifier {
        trusted,
        chain: Chain::from_first(),
    });
    loop {
        let block = stream.next().await?;
        if let Some(verifier) = verifier.as_mut().filter(|_| scanned.untrue.is_none())
            && let Err(error) = verifier.verify(&block)
        {
            scanned.untrue = Some((block.height, error));
        }
        let mut digest = blake3::Hasher::new();
        digest.update(&block.header.hash);
        // Operators may cut a rollup's ids into entries differently.
        let mut rollup = None;
        for entries in &block.entries {
            if rollup.replace(entries.rollup_id) != Some(entries.rollup_id) {
                digest.update(&entries.rollup_id.to_le_bytes());
            }
            digest.update(&entries.tx_ids);
            for prefix in prefixes(&entries.tx_ids) {
                match expected.find(prefix) {
                    Some(index) => {
                        scanned.counts[index] = scanned.counts[index].saturating_add(1);
                    }
                    None => scanned.strangers += u64::from(expected.covers(entries.rollup_id)),
                }
            }
        }
        scanned.blocks.push(*digest.finalize().as_bytes());
        if block.height >= last {
            return Ok(scanned);
        }
    }
}
