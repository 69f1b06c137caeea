//! Servers that are there, but don't speak gRPC.

use crate::world::World;
use squad_client::{Client, ClientConfig, Refusal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tonic::Code;

/// Asks a server that answers the first bytes with these, and then closes the connection or waits.
async fn refusal_of(answer: &'static [u8], close: bool) -> Refusal {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut bytes = [0; 1_024];
                let _asked = socket.read(&mut bytes).await?;
                socket.write_all(answer).await?;
                while !close && socket.read(&mut bytes).await? > 0 {}
                Ok::<_, std::io::Error>(())
            });
        }
    });
    let trusted = World::with_blocks(1).trusted();
    let client = Client::new(trusted, [&address[..]], ClientConfig::default()).unwrap();
    client.operator_status().await.unwrap_err()
}

#[tokio::test]
async fn a_server_that_speaks_something_else_is_not_reachable() {
    // TLS: a fatal alert "record overflow". Whether it is read before the connection is seen to be
    // closed is chance.
    let alert = &[0x15, 3, 3, 0, 2, 2, 0x16];
    // Too short, and long enough, for a frame's head.
    for answer in [&alert[..], b"220 mail.example ESMTP\r\n", b""] {
        for close in [true, false] {
            if answer.len() < 9 && !close {
                continue;
            }
            let refusal = refusal_of(answer, close).await;
            assert_eq!(refusal.code, Code::Unavailable, "{answer:?} {refusal}");
            assert!(refusal.reason.is_empty() && refusal.is_transient());
        }
    }
}
