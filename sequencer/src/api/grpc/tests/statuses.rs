//! `GetTransactionStatus` and `SubscribeTransactionStatus`.

use super::{ids, message, reason};
use crate::api::testing::{ROLLUPS, Serving, TestNode, transaction};
use bytes::Bytes;
use squad_primitives::{Transaction, TxId};
use squad_proto::convert::digests_packed;
use squad_proto::v1::subscribe_transaction_status_request::Filter;
use squad_proto::v1::subscribe_transaction_status_response::Item;
use squad_proto::v1::{self, Status, StatusGroup};
use std::collections::BTreeMap;
use tonic::Code;

type Request = v1::SubscribeTransactionStatusRequest;
type Response = v1::SubscribeTransactionStatusResponse;

fn request(filter: Filter) -> Request {
    Request {
        filter: Some(filter),
        ..Request::default()
    }
}

/// Transactions of a history with everything that can become of one.
struct History {
    /// Ordered from lane 0 at height 2.
    own: Vec<Transaction>,
    /// Ordered from lane 1 at height 2, in lane 0 again at height 3.
    copied: Transaction,
    /// In lane 0, too late.
    late: Transaction,
    /// In lane 1, too late.
    late_elsewhere: Transaction,
}

fn history(node: &TestNode) -> History {
    let own: Vec<_> = (0..7)
        .map(|n| transaction(ROLLUPS[n as usize % 2], 30, n, 8))
        .collect();
    let copied = transaction(ROLLUPS[0], 30, 50, 8);
    let late = transaction(ROLLUPS[0], 2, 60, 8);
    let late_elsewhere = transaction(ROLLUPS[0], 1, 61, 8);
    node.order(&[]);
    let first = [
        node.batch(0, &own),
        node.batch(1, &[copied.clone(), late_elsewhere.clone()]),
    ];
    node.order(&first);
    let second = node.batch(0, &[copied.clone(), late.clone()]);
    node.order(&[second]);
    node.order(&[]);
    let third = node.batch(0, &[transaction(ROLLUPS[2], 30, 70, 8)]);
    node.order(&[third]);
    History {
        own,
        copied,
        late,
        late_elsewhere,
    }
}

/// Reads `count` items; all until the end if there are fewer.
async fn read(serving: &Serving, request: Request, count: usize) -> Vec<Response> {
    let mut client = serving.sequencer().await;
    let stream = client.subscribe_transaction_status(request).await.unwrap();
    let mut stream = stream.into_inner();
    let mut items: Vec<Response> = Vec::new();
    while items.len() < count {
        let Some(item) = stream.message().await.unwrap() else {
            break;
        };
        assert_eq!(item.sequence, items.len() as u64);
        items.push(item);
    }
    items
}

fn groups(items: &[Response]) -> Vec<StatusGroup> {
    let group = |item: &Response| match &item.item {
        Some(Item::Statuses(group)) => Some(group.clone()),
        _ => None,
    };
    items.iter().filter_map(group).collect()
}

/// Last status of each transaction; fails if one comes twice.
fn last_statuses(items: &[Response]) -> BTreeMap<TxId, (Status, u64)> {
    let mut found = BTreeMap::new();
    for group in groups(items) {
        for id in ids(&group.tx_ids) {
            let before = found.insert(id, (group.status(), group.height));
            assert_eq!(before, None, "{id} was told twice");
        }
    }
    found
}

/// The cursor that starts a stream at height 1.
async fn from_start(serving: &Serving, node: &TestNode, filter: Filter) -> Bytes {
    assert_eq!(node.handle.hub.head().0, 0);
    let items = read(serving, request(filter), 1).await;
    items[0].cursor.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_filter_tells_each_transaction_once_and_resumes_anywhere() {
    let node = TestNode::operator(0);
    let serving = node.serve().await;
    let filters = [
        Filter::AcceptedHere(true),
        Filter::RollupId(7),
        Filter::RollupId(901),
    ];
    let mut starts = Vec::new();
    for filter in filters {
        starts.push((from_start(&serving, &node, filter.clone()).await, filter));
    }
    let history = history(&node);
    let id = |tx: &Transaction| tx.id(&node.network);
    for (cursor, filter) in starts {
        let mut expected: BTreeMap<TxId, (Status, u64)> = BTreeMap::new();
        let mut expect = |tx: &Transaction, status, height| {
            let here = matches!(filter, Filter::AcceptedHere(_));
            let elsewhere = tx == &history.late_elsewhere;
            if (here && !elsewhere) || matches!(filter, Filter::RollupId(r) if r == tx.rollup.0) {
                expected.insert(id(tx), (status, height));
            }
        };
        history
            .own
            .iter()
            .for_each(|tx| expect(tx, Status::Ordered, 2));
        expect(&history.copied, Status::Ordered, 2);
        expect(&history.late, Status::Expired, 3);
        expect(&history.late_elsewhere, Status::Expired, 2);
        expect(&transaction(ROLLUPS[2], 30, 70, 8), Status::Ordered, 5);
        let count = match filter {
            // Two rollups at height 2, the copy and the late one at 3, one at 5.
            Filter::AcceptedHere(_) => 1 + 5,
            // One group and the late one at 2, the late one at 3.
            Filter::RollupId(7) => 1 + 3,
            _ => 1 + 1,
        };
        let resume = |cursor: &Bytes| Request {
            from_cursor: cursor.clone(),
            ..request(filter.clone())
        };
        let uncut = read(&serving, resume(&cursor), count).await;
        assert_eq!(last_statuses(&uncut), expected, "{filter:?}");
        for cut in 0..uncut.len() - 1 {
            let rest = read(&serving, resume(&uncut[cut].cursor), uncut.len() - cut).await;
            assert_eq!(
                groups(&rest),
                groups(&uncut[cut + 1..]),
                "{filter:?} at {cut}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_are_told_as_they_are_then_as_they_change_and_the_stream_ends() {
    let node = TestNode::operator(0);
    let serving = node.serve().await;
    let known = transaction(ROLLUPS[0], 30, 1, 8);
    let coming = transaction(ROLLUPS[1], 30, 2, 8);
    let late = transaction(ROLLUPS[1], 1, 3, 8);
    let batch = node.batch(0, std::slice::from_ref(&known));
    node.order(&[batch]);
    let asked: Vec<TxId> = [&coming, &known, &late]
        .map(|tx| tx.id(&node.network))
        .into();
    let request = request(Filter::TxIds(digests_packed(&asked)));
    let mut client = serving.sequencer().await;
    let stream = client.subscribe_transaction_status(request.clone()).await;
    let mut stream = stream.unwrap().into_inner();
    let mut items = vec![
        super::next(&mut stream).await,
        super::next(&mut stream).await,
    ];
    assert_eq!(ids(&groups(&items)[0].tx_ids), [asked[1]]);
    node.order(&[]);
    let batches = [
        node.batch(1, std::slice::from_ref(&coming)),
        node.batch(2, std::slice::from_ref(&late)),
    ];
    node.order(&batches);
    while let Some(item) = stream.message().await.unwrap() {
        items.push(item);
    }
    let expected = [
        (asked[1], (Status::Ordered, 1)),
        (asked[0], (Status::Ordered, 3)),
        (asked[2], (Status::Expired, 3)),
    ];
    assert_eq!(last_statuses(&items), expected.into());

    // Cut anywhere: the rest comes, and the stream ends all the same.
    for cut in 0..items.len() - 1 {
        let resumed = Request {
            from_cursor: items[cut].cursor.clone(),
            ..request.clone()
        };
        let rest = read(&serving, resumed, items.len() - cut).await;
        assert_eq!(groups(&rest), groups(&items[cut + 1..]), "cut at {cut}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acceptances_come_before_order_and_only_if_wanted() {
    let node = TestNode::operator(0);
    let serving = node.serve().await;
    let mut client = serving.sequencer().await;
    let wanting = Request {
        min_status: Status::Accepted.into(),
        ..request(Filter::AcceptedHere(true))
    };
    let stream = client.subscribe_transaction_status(wanting).await.unwrap();
    let mut stream = stream.into_inner();
    super::next(&mut stream).await;
    let tx = transaction(ROLLUPS[0], 30, 1, 8);
    let submit = v1::SubmitTransactionRequest {
        transaction: Some(message(&tx)),
        ..v1::SubmitTransactionRequest::default()
    };
    let (answer, batch) = tokio::join!(client.submit_transaction(submit), node.own_batch());
    answer.unwrap();
    let accepted = super::next(&mut stream).await;
    node.order(&[batch]);
    let ordered = super::next(&mut stream).await;
    let statuses: Vec<_> = groups(&[accepted, ordered])
        .iter()
        .map(|group| (group.status(), ids(&group.tx_ids)))
        .collect();
    let id = tx.id(&node.network);
    assert_eq!(
        statuses,
        [(Status::Accepted, vec![id]), (Status::Ordered, vec![id])]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_status_follows_the_transaction() {
    let node = TestNode::operator(0);
    let serving = node.serve().await;
    let mut client = serving.sequencer().await;
    let tx = transaction(ROLLUPS[1], 30, 1, 8);
    let id = tx.id(&node.network);
    let asked = v1::GetTransactionStatusRequest {
        tx_id: id.0.to_vec().into(),
        include_proof: true,
    };
    let status = client.get_transaction_status(asked.clone()).await;
    reason(&status.unwrap_err(), Code::NotFound, "UNKNOWN_TX");

    let submit = v1::SubmitTransactionRequest {
        transaction: Some(message(&tx)),
        wait_ms: 1,
        ..v1::SubmitTransactionRequest::default()
    };
    client.submit_transaction(submit).await.unwrap_err();
    let mut told = Vec::new();
    let mut ask = async || {
        let response = client.get_transaction_status(asked.clone()).await.unwrap();
        let status = response.into_inner().status.unwrap();
        told.push(status.status());
        status
    };
    ask().await;
    let batch = node.own_batch().await;
    ask().await;
    node.order(&[batch]);
    let ordered = ask().await;
    assert_eq!(
        (ordered.height, ordered.rollup_id, ordered.expiry_height),
        (1, 8, 30)
    );
    assert!(ordered.order_proof.is_some() && ordered.availability_proof.is_some());
    assert_eq!(told, [Status::Received, Status::Accepted, Status::Ordered]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_filters_are_refused() {
    let node = TestNode::operator(0);
    let serving = node.serve().await;
    let mut client = serving.sequencer().await;
    let many = digests_packed(&vec![squad_primitives::Digest::ZERO; 1_001]);
    let invalid = Code::InvalidArgument;
    let cases = [
        (Request::default(), invalid, "UNDECODABLE"),
        (request(Filter::TxIds(Bytes::new())), invalid, "UNDECODABLE"),
        (
            request(Filter::TxIds(Bytes::from_static(&[1; 33]))),
            invalid,
            "UNDECODABLE",
        ),
        (request(Filter::TxIds(many)), invalid, "TOO_LARGE"),
        (request(Filter::AcceptedHere(false)), invalid, "UNDECODABLE"),
        (
            request(Filter::RollupId(999)),
            Code::NotFound,
            "UNKNOWN_ROLLUP",
        ),
        (
            Request {
                min_status: 5,
                ..request(Filter::RollupId(7))
            },
            invalid,
            "UNDECODABLE",
        ),
        (
            Request {
                from_cursor: Bytes::from_static(&[1; 22]),
                ..request(Filter::RollupId(7))
            },
            invalid,
            "BAD_CURSOR",
        ),
    ];
    for (request, code, name) in cases {
        let status = client.subscribe_transaction_status(request).await;
        reason(&status.unwrap_err(), code, name);
    }
    let observer = TestNode::observer().serve().await;
    let mut client = observer.sequencer().await;
    let here = request(Filter::AcceptedHere(true));
    let status = client.subscribe_transaction_status(here).await.unwrap_err();
    reason(&status, Code::FailedPrecondition, "NOT_A_COMMITTEE_MEMBER");
}
