//! Requests and replies.

use crate::harness::{committee, operator, stop};
use bytes::Bytes;
use futures::future::{BoxFuture, join_all};
use squad_network::data::{FetchError, REPLY_BYTES_LIMIT, REQUEST_BYTES_LIMIT};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(30);

/// Answers a decimal number with that many bytes; `none` with nothing; `never` not at all.
fn answer(request: Bytes) -> BoxFuture<'static, Option<Bytes>> {
    Box::pin(async move {
        match std::str::from_utf8(&request).unwrap() {
            "none" => None,
            "never" => std::future::pending().await,
            number => Some(vec![7; number.parse().unwrap()].into()),
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_of_any_permitted_size_arrive() {
    let nodes = committee(2, answer).await;
    for (from, to) in [(0, 1), (1, 0)] {
        let plane = &nodes[from].plane;
        for size in [0, 1, 100_000, REPLY_BYTES_LIMIT] {
            let reply = plane
                .fetch(operator(to), size.to_string().into(), LONG)
                .await;
            assert_eq!(reply, Ok(vec![7; size].into()));
        }
    }
    stop(nodes).await;
}

#[tokio::test]
async fn what_is_missing_or_too_large_is_told_apart() {
    let nodes = committee(2, answer).await;
    let plane = &nodes[0].plane;
    let fetch = |to, request: Bytes| plane.fetch(operator(to), request, LONG);
    assert_eq!(fetch(1, "none".into()).await, Err(FetchError::NotFound));
    let above = (REPLY_BYTES_LIMIT + 1).to_string();
    assert_eq!(fetch(1, above.into()).await, Err(FetchError::NotFound));
    let request = Bytes::from(vec![b'0'; REQUEST_BYTES_LIMIT + 1]);
    assert_eq!(
        fetch(1, request).await,
        Err(FetchError::RequestTooLarge(REQUEST_BYTES_LIMIT + 1))
    );
    assert_eq!(fetch(9, "1".into()).await, Err(FetchError::UnknownPeer));
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_nobody_answers_end_at_their_deadline_and_free_their_places() {
    let nodes = committee(2, answer).await;
    let plane = &nodes[0].plane;
    // More than the places on either side, all at once.
    let fetches =
        (0..100).map(|_| plane.fetch(operator(1), "never".into(), Duration::from_millis(50)));
    for reply in join_all(fetches).await {
        assert_eq!(reply, Err(FetchError::Deadline));
    }
    let reply = plane.fetch(operator(1), "5".into(), LONG).await;
    assert_eq!(reply, Ok(vec![7; 5].into()));
    stop(nodes).await;
}

#[tokio::test]
async fn a_lost_connection_ends_the_request() {
    let mut nodes = committee(2, answer).await;
    let other = nodes.pop().unwrap();
    let plane = nodes[0].plane.clone();
    let fetch = plane.fetch(operator(1), "never".into(), LONG);
    let (reply, ()) = tokio::join!(fetch, other.plane.shutdown());
    assert!(matches!(
        reply,
        Err(FetchError::Connection(_) | FetchError::NotConnected)
    ));
    stop(nodes).await;
}
