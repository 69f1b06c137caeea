use super::*;
use bytes::Bytes;
use squad_primitives::{BatchBuilder, Epoch, IdentityKey, OperatorId, Transaction};

const NETWORK: Digest = Digest([1; 32]);
const KEY: IdHashKey = IdHashKey([11, 12]);

fn rules() -> OrderRules {
    OrderRules {
        expiry_max_blocks: 10,
        policies: [
            (RollupId(1), OrderPolicy::Shuffle),
            (RollupId(2), OrderPolicy::Shuffle),
            (RollupId(3), OrderPolicy::Fifo),
        ]
        .into(),
    }
}

fn transaction(rollup: u64, expiry: u64, number: u64) -> Transaction {
    Transaction {
        rollup: RollupId(rollup),
        expiry: Height(expiry),
        kind: TxKind::Plain,
        payload: Bytes::copy_from_slice(&number.to_le_bytes()),
    }
}

fn batch(lane: u32, parent: Option<Tip>, transactions: &[Transaction]) -> Batch {
    let mut builder = BatchBuilder::default();
    for transaction in transactions {
        builder.push(transaction.id(&NETWORK), transaction);
    }
    let key = IdentityKey::from_seed([lane as u8; 32]);
    builder.seal(&NETWORK, Epoch(0), OperatorId(lane), parent, &key)
}

/// A lane of batches, each given as its transactions.
fn lane(lane: u32, batches: &[Vec<Transaction>]) -> Vec<Batch> {
    let mut parent = None;
    let mut out = Vec::new();
    for transactions in batches {
        let next = batch(lane, parent, transactions);
        parent = Some(next.tip());
        out.push(next);
    }
    out
}

fn order(height: u64, block: u8, lanes: &[Vec<Batch>], dedup: &mut Dedup) -> Ordered {
    let input = OrderInput {
        network: &NETWORK,
        block: &Digest([block; 32]),
        height: Height(height),
        lanes,
    };
    order_block(&input, &rules(), dedup)
}

/// Payload numbers of a rollup's list, looked up through the places.
fn numbers(lanes: &[Vec<Batch>], list: &RollupOrder) -> Vec<u64> {
    let flat: Vec<_> = lanes.iter().flatten().collect();
    list.places
        .iter()
        .zip(&list.ids)
        .map(|(place, id)| {
            let transaction = flat[place.batch as usize]
                .transaction(place.index as usize)
                .unwrap();
            assert_eq!(transaction.id(&NETWORK), *id);
            u64::from_le_bytes(transaction.payload[..].try_into().unwrap())
        })
        .collect()
}

fn three_lanes(rollup: u64) -> Vec<Vec<Batch>> {
    let tx = |number| transaction(rollup, 15, number);
    vec![
        lane(0, &[vec![tx(1), tx(2)], vec![tx(3)], vec![tx(4)]]),
        lane(2, &[vec![tx(21)]]),
        lane(5, &[vec![tx(51)], vec![tx(52), tx(53)]]),
    ]
}

#[test]
fn batches_interleave_from_the_lane_that_the_seed_picks() {
    let lanes = three_lanes(1);
    let expected = [
        vec![1, 2, 21, 51, 3, 52, 53, 4],
        vec![21, 51, 1, 2, 52, 53, 3, 4],
        vec![51, 1, 2, 21, 52, 53, 3, 4],
    ];
    let mut seen = [false; 3];
    for block in 0..40 {
        let ordered = order(10, block, &lanes, &mut Dedup::new(KEY));
        assert_eq!(ordered.rollups.len(), 1);
        let list = numbers(&lanes, &ordered.rollups[0]);
        let index = expected.iter().position(|order| *order == list);
        seen[index.unwrap_or_else(|| panic!("{list:?}"))] = true;
    }
    assert_eq!(seen, [true; 3], "every lane is picked by some block");
}

#[test]
fn fifo_rollups_get_their_transactions_lane_by_lane_whatever_the_seed() {
    let lanes = three_lanes(3);
    for block in 0..10 {
        let ordered = order(10, block, &lanes, &mut Dedup::new(KEY));
        let list = numbers(&lanes, &ordered.rollups[0]);
        assert_eq!(list, [1, 2, 3, 4, 21, 51, 52, 53]);
    }
}

#[test]
fn the_hash_key_of_the_process_changes_nothing() {
    let mut lanes = three_lanes(1);
    let extra: Vec<_> = (0..200)
        .map(|i| transaction(i % 5, 8 + i % 20, i % 40))
        .collect();
    lanes.push(lane(9, &[extra.clone(), extra]));
    let results: Vec<_> = (0..4)
        .map(|key| {
            let mut dedup = Dedup::new(IdHashKey([key, key * 77]));
            let ordered = order(10, 3, &lanes, &mut dedup);
            (ordered, dedup.iter().collect::<Vec<_>>())
        })
        .collect();
    assert!(results.iter().all(|result| *result == results[0]));
    assert!(
        results[0]
            .0
            .rollups
            .windows(2)
            .all(|w| w[0].rollup < w[1].rollup)
    );
}

#[test]
fn the_window_has_exact_edges() {
    for (expiry, expected) in [
        (9, Some(DropReason::Expired)),
        (10, None),
        (20, None),
        (21, Some(DropReason::ExpiryTooFar)),
    ] {
        let lanes = [lane(0, &[vec![transaction(1, expiry, 1)]])];
        let ordered = order(10, 0, &lanes, &mut Dedup::new(KEY));
        let reason = ordered.dropped.first().map(|dropped| dropped.reason);
        assert_eq!(reason, expected, "expiry {expiry}");
        assert_eq!(ordered.rollups.len(), usize::from(expected.is_none()));
    }
}

#[test]
fn an_id_counts_once_in_every_block_up_to_its_expiry_and_is_then_forgotten() {
    let mut dedup = Dedup::new(KEY);
    let lanes = [lane(0, &[vec![transaction(1, 20, 1)]])];
    assert!(order(10, 0, &lanes, &mut dedup).dropped.is_empty());
    for height in 11..=20 {
        let again = order(height, 0, &lanes, &mut dedup);
        assert_eq!(again.dropped[0].reason, DropReason::Duplicate, "{height}");
        assert_eq!(dedup.len(), 1);
    }
    let after = order(21, 0, &lanes, &mut dedup);
    assert_eq!(after.dropped[0].reason, DropReason::Expired);
    assert!(dedup.is_empty());
}

#[test]
fn a_transaction_that_did_not_count_may_count_later() {
    let mut dedup = Dedup::new(KEY);
    let lanes = [lane(0, &[vec![transaction(1, 21, 1)]])];
    let early = order(10, 0, &lanes, &mut dedup);
    assert_eq!(early.dropped[0].reason, DropReason::ExpiryTooFar);
    assert!(order(11, 0, &lanes, &mut dedup).dropped.is_empty());
}

#[test]
fn duplicates_inside_a_block_count_where_they_stand_first() {
    let tx = transaction(1, 15, 7);
    let lanes = [
        lane(0, &[vec![tx.clone(), tx.clone()]]),
        lane(1, &[vec![tx]]),
    ];
    for block in 0..10 {
        let ordered = order(10, block, &lanes, &mut Dedup::new(KEY));
        assert_eq!(ordered.rollups[0].ids.len(), 1);
        assert_eq!(ordered.dropped.len(), 2);
        let first = ordered.rollups[0].places[0];
        assert_eq!(first.index, 0);
    }
}

#[test]
fn unknown_rollups_and_sealed_transactions_are_dropped_with_their_reason() {
    let sealed = Transaction {
        kind: TxKind::Sealed,
        ..transaction(1, 15, 1)
    };
    let lanes = [lane(0, &[vec![sealed, transaction(77, 15, 2)]])];
    let mut dedup = Dedup::new(KEY);
    let ordered = order(10, 0, &lanes, &mut dedup);
    let reasons: Vec<_> = ordered.dropped.iter().map(|d| d.reason).collect();
    assert_eq!(reasons, [DropReason::Sealed, DropReason::UnknownRollup]);
    assert!(ordered.rollups.is_empty() && dedup.is_empty());
}

#[test]
fn a_restored_set_goes_on_like_the_original() {
    let mut original = Dedup::new(KEY);
    let lanes = three_lanes(1);
    let _ = order(10, 0, &lanes, &mut original);
    let saved = original
        .iter()
        .flat_map(|(expiry, ids)| ids.into_iter().map(move |id| (expiry, id)));
    let mut restored = Dedup::restore(IdHashKey([5, 6]), Height(10), saved);
    assert_eq!(
        order(11, 0, &lanes, &mut restored),
        order(11, 0, &lanes, &mut original)
    );
    let empty = Dedup::restore(KEY, Height(15), [(Height(15), Digest([1; 32]))]);
    assert!(empty.is_empty(), "passed expiries are not restored");
}
