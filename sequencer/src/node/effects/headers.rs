//! Answering requests for headers that only storage still has.
//!
//! A walk along a lane reads one header after the other, up to 2,048, so it is nothing for the core
//! thread. Each peer has a task of its own, which answers one request after the other and rests between
//! them: whatever a peer asks for costs at most a part of one thread.

use super::World;
use squad_network::data::Class;
use squad_primitives::message::LaneMessage;
use squad_primitives::{BatchSeq, OperatorId, Tip};
use squad_proto::peer;
use std::collections::BTreeMap;
use std::time::Instant;
use tokio::sync::mpsc;

/// Requests of one peer that wait: one for each lane of a large committee. Further ones are dropped; the
/// peer asks somebody else.
const WAITING_MAX: usize = 128;
/// Rest after a walk, as a multiple of the time that it took.
const REST: u32 = 3;

/// A request: headers of the branch that ends in `tip`, above `after`.
#[derive(Debug)]
struct Walk {
    after: BatchSeq,
    tip: Tip,
}

/// Tasks by peer; each ends when its peer is forgotten.
#[derive(Debug, Default)]
pub(super) struct HeaderServers {
    peers: BTreeMap<OperatorId, mpsc::Sender<Walk>>,
}

impl HeaderServers {
    /// Takes a request of a connected operator.
    pub(super) fn ask(&mut self, world: &World, to: OperatorId, after: BatchSeq, tip: Tip) {
        let queue = self.peers.entry(to).or_insert_with(|| {
            let (queue, walks) = mpsc::channel(WAITING_MAX);
            world.runtime.spawn(serve(world.clone(), to, walks));
            queue
        });
        // Full: dropped, as said above. Closed: the runtime stops.
        let _ = queue.try_send(Walk { after, tip });
    }

    /// A peer's link is gone.
    pub(super) fn forget(&mut self, peer: OperatorId) {
        self.peers.remove(&peer);
    }
}

async fn serve(world: World, to: OperatorId, mut walks: mpsc::Receiver<Walk>) {
    while let Some(Walk { after, tip }) = walks.recv().await {
        let reader = world.reader.clone();
        let walked = tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            let headers = reader.headers_back(&tip, after);
            (headers, began.elapsed())
        });
        // A panic has ended the process already; what is left is a runtime that stops.
        let Ok((headers, took)) = walked.await else {
            return;
        };
        match headers {
            Ok(headers) if headers.is_empty() => {}
            Ok(headers) => {
                let message = LaneMessage::Headers {
                    lane: tip.lane,
                    headers,
                    poa: None,
                };
                // A full queue is no error: who misses the answer asks again.
                let _ = world.links.send(to, Class::Batches, peer::encode(&message));
            }
            Err(error) => crate::node::fatal(&error),
        }
        tokio::time::sleep(took * REST).await;
    }
}
