//! Health and metrics over real connections.

use crate::api::ApiError;
use crate::api::testing::{ROLLUPS, Serving, TestNode, transaction};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Status code, head and body of a GET.
async fn get(serving: &Serving, path: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(serving.http).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    (code, head.to_lowercase(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_has_a_code_and_a_reason() {
    let node = TestNode::operator(0);
    node.order(&[]);
    let serving = node.serve().await;
    let mut seen = Vec::new();
    type Change = fn(&mut crate::node::handle::NodeStatus);
    let changes: [Change; 4] = [
        |_| (),
        |status| status.syncing = true,
        |status| status.quorum_connected = false,
        |status| {
            status.started_at_ms -= 60_000;
            status.core_turn_ms = 1;
        },
    ];
    for change in changes {
        node.status.send_modify(change);
        let mut codes = Vec::new();
        for path in ["/livez", "/readyz", "/healthz"] {
            let (code, head, body) = get(&serving, path).await;
            assert!(head.contains("content-type: application/json"), "{head}");
            let json: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(json["ordered_height"], "1");
            codes.push((code, json["reason"].as_str().unwrap().to_owned()));
        }
        let reason = codes[0].1.clone();
        assert!(codes.iter().all(|(_, other)| *other == reason));
        let codes: Vec<_> = codes.into_iter().map(|(code, _)| code).collect();
        seen.push((codes, reason));
    }
    let expected = [
        (vec![200, 200, 200], "HEALTHY"),
        (vec![200, 503, 206], "SYNCING"),
        (vec![200, 503, 503], "NO_QUORUM"),
        (vec![503, 503, 503], "STALLED"),
    ];
    assert_eq!(
        seen,
        expected.map(|(codes, reason)| (codes, reason.to_owned()))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_are_those_of_the_registry_and_can_be_turned_off() {
    let node = TestNode::operator(0);
    let serving = node.serve().await;
    let (code, head, body) = get(&serving, "/metrics").await;
    assert_eq!(code, 200);
    assert!(head.contains("application/openmetrics-text"), "{head}");
    assert!(body.contains("squad_rpc_streams 0"), "{body}");
    assert!(body.ends_with("# EOF\n"));
    assert_eq!(get(&serving, "/other").await.0, 404);

    let serving = node
        .serve_with(|config| config.metrics.enabled = false)
        .await;
    assert_eq!(get(&serving, "/metrics").await.0, 404);
    assert_eq!(get(&serving, "/livez").await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_in_use_is_a_typed_error_and_stopping_is_quick() {
    let node = TestNode::operator(0);
    let serving = node.serve().await;
    let taken = serving.http;
    let mut config = crate::config::Config::default();
    config.grpc.listen = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    config.http.listen = taken;
    let registry = crate::node::SharedRegistry::default();
    let handle = node.handle.clone();
    let error = crate::api::serve(handle, &config, registry, serving.shutdown.clone()).await;
    let Err(ApiError::Bind {
        setting,
        address,
        source,
    }) = error
    else {
        panic!("{error:?}");
    };
    assert_eq!((setting, address), ("http.listen", taken));
    assert_eq!(source.kind(), std::io::ErrorKind::AddrInUse);

    serving.shutdown.cancel();
    let stopped = tokio::time::timeout(Duration::from_secs(10), serving.running).await;
    stopped.unwrap().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finality_is_told_as_json() {
    let node = TestNode::with_finality(0);
    let tx = transaction(ROLLUPS[0], 30, 1, 20);
    node.order(&[node.batch(2, std::slice::from_ref(&tx))]);
    let serving = node.serve().await;
    let json = |body: String| serde_json::from_str::<serde_json::Value>(&body).unwrap();
    let id = tx.id(&node.network);
    let path = format!("/v1/tx/{id}/final?proof=true");
    let (code, _, body) = get(&serving, &path).await;
    assert_eq!((code, &json(body)["final"]), (200, &false.into()));
    let (code, _, body) = get(&serving, "/v1/certificates/latest").await;
    assert_eq!((code, &json(body)["reason"]), (409, &"NOT_FINAL".into()));

    let certificate = format!("0x{}", hex::encode(node.certify(1).to_bytes()));
    let (code, head, body) = get(&serving, "/v1/certificates/1").await;
    assert!(head.contains("content-type: application/json"), "{head}");
    assert_eq!((code, &json(body)["encoded"]), (200, &certificate.into()));
    let (_, _, body) = get(&serving, &path).await;
    let answer = json(body);
    assert_eq!(
        (&answer["final"], &answer["height"]),
        (&true.into(), &"1".into())
    );
    let proof = answer["transaction_proof"].as_str().unwrap();
    let proof = hex::decode(proof.trim_start_matches("0x")).unwrap();
    let proof = squad_mach::TransactionProof::from_bytes(&proof).unwrap();
    let mut light = squad_client::finality::light_client(&node.genesis).unwrap();
    light.verify_transaction(&proof, ROLLUPS[0]).unwrap();

    let rollup = format!("/v1/rollups/{}/final/1", ROLLUPS[0]);
    for (path, code, key) in [
        (rollup.as_str(), 200, "certificate"),
        ("/v1/blocks/1/final", 200, "certificate"),
        ("/v1/blocks/9/final", 200, "final_height"),
        ("/v1/alerts", 200, "alerts"),
        ("/v1/blocks/one/final", 400, "reason"),
        ("/v1/tx/0x00/final", 400, "reason"),
        ("/v1/rollups/7/final/2", 404, "reason"),
        ("/v1/handover/0", 200, "handovers"),
        ("/v1/handover/7", 409, "reason"),
    ] {
        let (found, _, body) = get(&serving, path).await;
        assert_eq!(found, code, "{path}: {body}");
        assert!(!json(body)[key].is_null(), "{path}");
    }
}
