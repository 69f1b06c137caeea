//! Outputs of the lanes: bodies and records to store, batches to send and to fetch.

use super::Effects;
use crate::node::core::CoreInput;
use crate::node::maker::Progress;
use crate::node::stored::new_body;
use crate::node::{EXIT_SAFETY, fatal, inbound};
use anyhow::anyhow;
use bytes::Bytes;
use squad_mempool::lanes::LaneFault;
use squad_mempool::{LaneOutput, LaneRecord, Lanes, PersistId};
use squad_network::data::{Class, Offence};
use squad_primitives::codec::Encode;
use squad_primitives::message::LaneMessage;
use squad_primitives::{Batch, BatchSeq, OperatorId, Poa, Tip};
use squad_proto::peer;
use squad_storage::{Changes, Database, Table};
use std::time::Duration;

/// Longest wait for an answer to a fetch before its peer counts as not having it.
const FETCH_TIMEOUT: Duration = Duration::from_secs(2);

impl Effects {
    /// A batch that the next step may ask to store.
    pub(crate) fn offer(&mut self, batch: Batch) {
        self.offered = Some(batch);
    }

    /// The step is over; an offer that wasn't taken is dropped.
    pub(crate) fn withdraw_offer(&mut self) {
        self.offered = None;
    }

    /// A lane output other than those that the core loop handles itself.
    pub(super) fn on_lanes(&mut self, output: LaneOutput) {
        match output {
            LaneOutput::Store { id, .. } => self.store_offered(id),
            LaneOutput::Persist(id, record) => self.persist_lane(id, &record),
            LaneOutput::Send { to, message } => {
                let frame = peer::encode(&message);
                self.lane_send(Some(to), class_of(&message), frame);
            }
            LaneOutput::Broadcast(message) => {
                let frame = peer::encode(&message);
                self.lane_send(None, class_of(&message), frame);
            }
            LaneOutput::BroadcastBatch { tip, poas } => self.send_batch(None, &tip, poas),
            LaneOutput::Resend { to, tip } => self.send_batch(Some(to), &tip, Vec::new()),
            LaneOutput::FetchBatch { from, tip } => self.fetch(from, tip),
            LaneOutput::ServeHeaders { to, after, tip } => {
                self.header_servers.ask(&self.world, to, after, tip);
            }
            LaneOutput::Evidence(evidence) => {
                self.world.metrics.evidence.inc();
                tracing::error!(operator = %evidence.operator(), ?evidence, "lane owner contradicted itself");
            }
            LaneOutput::Fault { peer, fault } => {
                self.world.metrics.peer_faults.inc();
                let forged = matches!(
                    fault,
                    LaneFault::HeaderSignature | LaneFault::AckSignature | LaneFault::Poa
                );
                if forged {
                    self.world.links.penalize(peer, Offence::BadSignature);
                }
                tracing::debug!(%peer, %fault, "lane fault");
            }
            LaneOutput::ForeignOwnBatch(digest) => {
                tracing::error!(%digest, "a batch of this operator's lane was made elsewhere: its key is in use twice, or its store was rolled back");
                std::process::exit(EXIT_SAFETY);
            }
            LaneOutput::TipsChanged | LaneOutput::DataArrived | LaneOutput::BlockReady { .. } => {}
        }
    }

    fn lanes_durable(&self, ids: Vec<PersistId>) -> Box<dyn FnOnce() + Send> {
        let (watermark, core) = (self.watermark.clone(), self.world.core.clone());
        Box::new(move || {
            if let Some(durable) = ids.into_iter().filter_map(|id| watermark.finish(id)).max() {
                let _ = core.send(CoreInput::LanesPersisted(durable));
            }
        })
    }

    fn store_offered(&mut self, id: PersistId) {
        let Some(batch) = self.offered.take() else {
            fatal(anyhow!("the lanes asked to store a batch that was not offered").as_ref());
        };
        self.watermark.begin(id);
        self.storing = Some((id, batch));
    }

    /// The record of an acknowledgement nearly always follows the batch that it is for: then one write
    /// and one sync serve both.
    fn persist_lane(&mut self, id: PersistId, record: &LaneRecord) {
        self.watermark.begin(id);
        match self
            .storing
            .take_if(|(_, batch)| batch.tip() == record.acked)
        {
            Some((stored, batch)) => self.append(batch, vec![stored, id]),
            None => {
                let mut changes = Changes::new(Database::Safety);
                let key = LaneRecord::key(record.acked.lane);
                changes.put(Table::SafetyLanes, key, record.to_bytes());
                let done = self.lanes_durable(vec![id]);
                self.world.store.commit(changes, done);
            }
        }
    }

    pub(super) fn append(&self, batch: Batch, ids: Vec<PersistId>) {
        let acked = ids.len() > 1;
        let done = self.lanes_durable(ids);
        let body = new_body(&batch, self.committed, acked);
        self.world.cache.insert(batch, self.committed);
        self.world.store.append_body(body, done);
    }

    fn lane_send(&self, to: Option<OperatorId>, class: Class, frame: Bytes) {
        match to {
            // A full queue is no error: what matters is sent again, or asked for.
            Some(to) => drop(self.world.links.send(to, class, frame)),
            None => drop(self.world.links.broadcast(class, frame)),
        }
    }

    fn send_batch(&self, to: Option<OperatorId>, tip: &Tip, poas: Vec<Poa>) {
        match self.world.reader.batch(&tip.digest) {
            Ok(Some(batch)) => {
                let frame = peer::encode(&LaneMessage::Batch {
                    signed: *batch.signed(),
                    body: batch.body().clone(),
                    poas,
                });
                self.lane_send(to, Class::Batches, frame);
            }
            Ok(None) => {
                tracing::warn!(seq = %tip.seq, lane = %tip.lane, "a batch to be sent is not stored")
            }
            Err(error) => fatal(&error),
        }
    }

    fn fetch(&self, from: OperatorId, tip: Tip) {
        let world = self.world.clone();
        self.world.runtime.spawn(async move {
            let request = peer::encode(&LaneMessage::BatchRequest(tip.digest));
            let reply = world.links.fetch(from, request, FETCH_TIMEOUT).await;
            let batch = match reply {
                Ok(reply) => tokio::task::spawn_blocking(move || {
                    inbound::parse_batch(&world.network, reply, world.reader.limits())
                })
                .await
                .ok()
                .flatten(),
                Err(_) => None,
            };
            let input = match batch {
                Some((batch, poas)) if batch.digest() == tip.digest => CoreInput::Batch {
                    from,
                    batch,
                    poas,
                    credit: None,
                },
                _ => CoreInput::FetchFailed(from, tip.digest),
            };
            let _ = world.core.send(input);
        });
    }

    /// Tells the batch maker and admission how far the own lane is.
    pub(super) fn own_lane(&self, lanes: &Lanes) {
        let window = lanes.own_window();
        let durable = lanes.own_tip().map_or(BatchSeq::ZERO, |tip| tip.seq);
        let now = Progress {
            certified: BatchSeq(durable.0.saturating_sub(window.in_flight as u64)),
            durable,
            bytes: window.bytes,
            enough: window.enough,
            full: window.full,
        };
        let before = self.world.progress.replace(now);
        if now.full != before.full {
            self.world.ingress.lane_full(now.full);
        }
        let room = now.bytes < before.bytes || now.enough > before.enough;
        if now.certified != before.certified || room || (before.full && !now.full) {
            self.world.wake.pushed();
        }
    }
}

const fn class_of(message: &LaneMessage) -> Class {
    match message {
        LaneMessage::Batch { .. } | LaneMessage::Headers { .. } => Class::Batches,
        _ => Class::Acks,
    }
}
