//! The dedup window against a model that remembers everything for ever.

use bytes::Bytes;
use proptest::prelude::*;
use squad_mempool::order::OrderInput;
use squad_mempool::{Dedup, IdHashKey, OrderRules, order_block};
use squad_primitives::genesis::OrderPolicy;
use squad_primitives::{
    Batch, BatchBuilder, Digest, Epoch, Height, OperatorId, RollupId, Transaction, TxId, TxKind,
};
use std::collections::BTreeSet;

const NETWORK: Digest = Digest([1; 32]);
const WINDOW: u64 = 5;

fn transaction(number: u64, expiry: u64) -> Transaction {
    Transaction {
        rollup: RollupId(1 + number % 2),
        expiry: Height(expiry),
        kind: TxKind::Plain,
        payload: Bytes::copy_from_slice(&number.to_le_bytes()),
    }
}

fn batch(lane: u32, transactions: &[Transaction]) -> Batch {
    let mut builder = BatchBuilder::default();
    for transaction in transactions {
        builder.push(transaction.id(&NETWORK), transaction);
    }
    builder.seal(
        &NETWORK,
        Epoch(0),
        OperatorId(lane),
        None,
        &crate::keys::key_of(lane),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Blocks of few distinct transactions, submitted again and again, with a restart somewhere.
    #[test]
    fn a_transaction_counts_exactly_once_and_only_in_its_window(
        blocks in prop::collection::vec(prop::collection::vec((0_u64..6, 1_u64..22), 1..8), 1..24),
        restart in 0_usize..24,
        key in any::<[u64; 2]>(),
    ) {
        let rules = OrderRules {
            expiry_max_blocks: WINDOW,
            policies: [(RollupId(1), OrderPolicy::Shuffle), (RollupId(2), OrderPolicy::Fifo)].into(),
        };
        let mut dedup = Dedup::new(IdHashKey(key));
        let mut counted: BTreeSet<TxId> = BTreeSet::new();
        for (number, block) in blocks.iter().enumerate() {
            let height = number as u64 + 1;
            let all: Vec<_> = block.iter().map(|(n, expiry)| transaction(*n, *expiry)).collect();
            let (left, right) = all.split_at(all.len() / 2);
            let lanes: Vec<_> = [left, right]
                .into_iter()
                .zip(0..)
                .filter(|(part, _)| !part.is_empty())
                .map(|(part, lane)| vec![batch(lane, part)])
                .collect();
            let input = OrderInput {
                network: &NETWORK,
                block: &Digest([number as u8; 32]),
                height: Height(height),
                lanes: &lanes,
            };
            let ordered = order_block(&input, &rules, &mut dedup);
            let ids: Vec<_> = ordered.rollups.iter().flat_map(|r| r.ids.clone()).collect();
            let expected: BTreeSet<_> = all
                .iter()
                .filter(|tx| tx.expiry.0 >= height && tx.expiry.0 <= height + WINDOW)
                .map(|tx| tx.id(&NETWORK))
                .filter(|id| !counted.contains(id))
                .collect();
            prop_assert_eq!(ids.iter().copied().collect::<BTreeSet<_>>(), expected);
            for id in &ids {
                prop_assert!(counted.insert(*id), "counted twice");
            }
            prop_assert_eq!(ids.len() + ordered.dropped.len(), all.len());
            if number == restart {
                let saved: Vec<_> = dedup
                    .iter()
                    .flat_map(|(expiry, ids)| ids.into_iter().map(move |id| (expiry, id)))
                    .collect();
                dedup = Dedup::restore(IdHashKey([key[1], 7]), Height(height), saved);
            }
        }
    }
}
