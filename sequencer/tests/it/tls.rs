//! The gRPC services under TLS, with a certificate that the operator made.

use crate::command::{Home, Ran};
use crate::single::FREE_PORTS;
use std::process::{Child, Stdio};

/// A node that ends with the test.
struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        self.0.kill().expect("ours");
        self.0.wait().expect("ours");
    }
}

/// Writes certificate and key for 127.0.0.1 into the home.
fn certificate(home: &Home, name: &str) -> String {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    home.write(&format!("tls/{name}.crt"), &made.cert.pem());
    home.write(&format!("tls/{name}.key"), &made.key_pair.serialize_pem());
    format!(
        "--tls-ca={}",
        home.file(&format!("tls/{name}.crt")).display()
    )
}

#[test]
fn clients_trust_the_certificates_that_they_are_given_and_no_others() {
    let home = Home::new();
    home.with_network();
    let (own, other) = (certificate(&home, "own"), certificate(&home, "other"));
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let listen = format!("--grpc-listen=127.0.0.1:{port}");
    let node = home
        .command(&["start"])
        .args(FREE_PORTS.iter().filter(|flag| !flag.starts_with("--grpc")))
        .arg(listen)
        // Relative to the home.
        .args([
            "--set=grpc.tls_cert=tls/own.crt",
            "--set=grpc.tls_key=tls/own.key",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _node = Node(node);

    let endpoint = format!("--endpoint=https://127.0.0.1:{port}");
    let ask = |more: &[&str]| -> Ran {
        let arguments: Vec<_> = more.iter().copied().chain([endpoint.as_str()]).collect();
        home.squad(&arguments)
    };
    ask(&["status", "--wait=ready", &own]).ok();
    let sent = ask(&[
        "tx",
        "submit",
        "--rollup=7",
        "--payload=00",
        &own,
        "--format=json",
    ]);
    assert_eq!(sent.json()["status"], "ordered");

    let error = ask(&["status", &other]).fails(11);
    assert!(error.contains("invalid peer certificate"), "{error}");
    let error = ask(&["status"]).fails(2);
    assert!(error.contains("--tls-ca"), "{error}");
    let key = format!("--tls-ca={}", home.file("tls/own.key").display());
    let error = ask(&["status", &key]).fails(2);
    assert!(error.contains("no PEM certificate"), "{error}");
    // Without TLS nothing is said.
    let plain = format!("--endpoint=http://127.0.0.1:{port}");
    home.squad(&["status", &plain]).fails(11);
}
