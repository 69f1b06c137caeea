//! A thousand QUIC handshakes that stop half-way.
//!
//! A real client begins each of them, through a small relay that passes its first two packets and
//! nothing more: the first, and the one that answers a Retry. So the operator has seen that the address
//! receives, has answered, and waits. Each relay speaks from a loopback address of its own, in a /24 of
//! its own, or the limits per address would stop the flood at once. What was given up is begun again.

use super::{Sent, VICTIM, raw};
use crate::network::Network;
use quinn::Endpoint;
use squad_primitives::IdentityKey;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

/// Handshakes at once.
const HANDSHAKES: u32 = 1_000;
/// Packets of a client that pass.
const PACKETS: u32 = 2;
/// How long one handshake is kept: as long as an operator waits for it.
const KEPT: Duration = Duration::from_secs(5);
/// Largest UDP payload.
const PACKET_BYTES_MAX: usize = 65_535;

pub(super) async fn flood(network: &Network, length: Duration) -> anyhow::Result<Sent> {
    let target = network.operators[VICTIM].state.data;
    let end = Instant::now() + length;
    let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
    // A key of nobody. Without one the operator would refuse the first packet.
    let config = raw::client_config(&IdentityKey::from_seed([0x5a; 32]))?;
    let (begun, answered) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut tasks = JoinSet::new();
    for number in 0..HANDSHAKES {
        let (endpoint, config) = (endpoint.clone(), config.clone());
        let (begun, answered) = (begun.clone(), answered.clone());
        let source = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 1)) + (number << 8));
        tasks.spawn(async move {
            // Not all in the same millisecond.
            sleep(KEPT / HANDSHAKES * number).await;
            while Instant::now() < end {
                let until = end.min(Instant::now() + KEPT);
                let Ok(front) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await else {
                    break;
                };
                let (Ok(back), Ok(address)) =
                    (UdpSocket::bind((source, 0)).await, front.local_addr())
                else {
                    break;
                };
                let Ok(connecting) = endpoint.connect_with(config.clone(), address, "squad") else {
                    break;
                };
                begun.fetch_add(1, Ordering::Relaxed);
                tokio::select! {
                    () = pass(&front, &back, target) => {}
                    connected = connecting => {
                        answered.fetch_add(u64::from(connected.is_ok()), Ordering::Relaxed);
                        sleep(until.saturating_duration_since(Instant::now())).await;
                    }
                    () = tokio::time::sleep_until(until) => {}
                }
            }
        });
    }
    // Each ends by itself.
    while timeout_at(end + KEPT, tasks.join_next()).await?.is_some() {}
    let (begun, answered) = (
        begun.load(Ordering::Relaxed),
        answered.load(Ordering::Relaxed),
    );
    Ok(Sent {
        count: begun,
        notes: vec![format!(
            "{HANDSHAKES} at once, {answered} got the operator's answer and left it waiting"
        )],
        // Some must have got so far, or nothing was left half-open.
        as_ruled: answered > 0 && begun >= u64::from(HANDSHAKES),
    })
}

/// Passes the client's first packets, and all answers.
async fn pass(front: &UdpSocket, back: &UdpSocket, target: SocketAddr) {
    let (mut out, mut answer) = (vec![0; PACKET_BYTES_MAX], vec![0; PACKET_BYTES_MAX]);
    let mut client = None;
    let mut passed = 0;
    loop {
        tokio::select! {
            Ok((length, from)) = front.recv_from(&mut out) => {
                client = Some(from);
                if passed < PACKETS {
                    passed += 1;
                    // A refused send is a lost packet.
                    let _ = back.send_to(&out[..length], target).await;
                }
            }
            Ok((length, _)) = back.recv_from(&mut answer) => {
                if let Some(client) = client {
                    let _ = front.send_to(&answer[..length], client).await;
                }
            }
            else => return,
        }
    }
}
