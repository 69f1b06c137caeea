//! Getting what a committed block holds: headers that did not come with it, then bodies. From anybody,
//! since both are checked against the block's cut.

use super::Follower;
use crate::node::fatal;
use crate::node::recover::Opened;
use crate::node::serve;
use crate::node::stored::new_body;
use futures::{FutureExt, StreamExt};
use squad_network::control::{ControlPlane, PeerId};
use squad_primitives::{Batch, BatchSeq, CommittedBlock, Height, SignedHeader, Tip};
use squad_proto::peer::observer::{Request, Response};
use tokio::sync::oneshot;

/// Batches fetched at once.
const FETCHES_MAX: usize = 16;

impl Follower {
    /// Tips of the block's batches; headers that did not come with the block are asked for.
    pub(super) async fn headers(
        &mut self,
        block: &CommittedBlock,
        mut headers: Vec<SignedHeader>,
    ) -> Option<Vec<Tip>> {
        let missing: Vec<(BatchSeq, Tip)> = block
            .block
            .cut
            .moved(self.chain.cut())
            .filter(|tip| !headers.iter().any(|signed| signed.header.lane == tip.lane))
            .map(|tip| (self.chain.cut().seq(tip.lane), *tip))
            .collect();
        for (after, tip) in missing {
            headers.extend(self.lane_headers(after, tip).await?);
        }
        match self.chain.batches(block, &headers) {
            Ok(batches) => Some(batches),
            Err(error) => {
                tracing::warn!(%error, "headers refused");
                None
            }
        }
    }

    /// Headers of one lane in `(after, tip.seq]`, page by page.
    async fn lane_headers(&mut self, mut after: BatchSeq, tip: Tip) -> Option<Vec<SignedHeader>> {
        let mut all: Vec<SignedHeader> = Vec::new();
        while after < tip.seq {
            let mut page = None;
            for peer in self.peers() {
                let request = Request::Headers { after, tip };
                if let Some(Response::Headers { headers, .. }) =
                    serve::request(&self.plane, peer, &request).await
                {
                    page = headers
                        .last()
                        .map(|last| last.header.seq)
                        .map(|seq| (seq, headers));
                    break;
                }
            }
            let (last, headers) = page.filter(|(last, _)| *last > after)?;
            after = last;
            all.extend(headers);
        }
        Some(all)
    }

    /// Bodies of batches, several at once, each stored when it came.
    pub(super) async fn bodies(&mut self, tips: &[Tip]) -> Option<Vec<Batch>> {
        let peers = self.peers();
        let mut fetches = Vec::with_capacity(tips.len());
        for (turn, tip) in tips.iter().enumerate() {
            let mut peers = peers.clone();
            if !peers.is_empty() {
                let shift = turn % peers.len();
                peers.rotate_left(shift);
            }
            let fetch = BodyFetch {
                opened: self.opened.clone(),
                plane: self.plane.clone(),
                height: self.chain.height(),
                tip: *tip,
            };
            fetches.push(fetch.run(peers).boxed());
        }
        let fetched: Vec<Option<Batch>> = futures::stream::iter(fetches)
            .buffered(FETCHES_MAX)
            .collect()
            .await;
        fetched.into_iter().collect()
    }
}

/// Gets one batch.
struct BodyFetch {
    opened: Opened,
    plane: ControlPlane,
    /// Height of the last block.
    height: Height,
    tip: Tip,
}

impl BodyFetch {
    /// Asks one peer after the other; stores what was asked for.
    async fn run(self, peers: Vec<PeerId>) -> Option<Batch> {
        match self.opened.reader.batch(&self.tip.digest) {
            Ok(Some(batch)) => return Some(batch),
            Ok(None) => {}
            Err(error) => fatal(&error),
        }
        for peer in peers {
            let request = Request::Batch(self.tip.digest);
            let Some(Response::Batch { signed, body }) =
                serve::request(&self.plane, peer, &request).await
            else {
                continue;
            };
            let (network, limits) = (self.opened.network, *self.opened.reader.limits());
            let parsed =
                tokio::task::spawn_blocking(move || Batch::parse(&network, signed, body, &limits))
                    .await;
            match parsed {
                Ok(Ok(batch)) if batch.tip() == self.tip => {
                    self.store(&batch).await;
                    return Some(batch);
                }
                _ => {
                    tracing::warn!(%peer, lane = %self.tip.lane, seq = %self.tip.seq, "batch refused");
                }
            }
        }
        None
    }

    async fn store(&self, batch: &Batch) {
        let (done, durable) = oneshot::channel();
        let body = new_body(batch, self.height, false);
        self.opened.store.append_body(
            body,
            Box::new(move || {
                let _ = done.send(());
            }),
        );
        let _ = durable.await;
    }
}
