//! Frames from peers: decoded where they are read, handed to the thread that owns the matter.
//!
//! Checking a batch means hashing half a megabyte. That happens on threads of its own, so that votes
//! that arrive behind a batch don't wait for it.

use super::core::{CoreInput, CoreSender};
use super::mach::{MachInput, MachSender};
use super::reader::Reader;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use squad_mach::{Attestation, Certificate};
use squad_network::data::{Class, Credit, DataPlane, Inbound, Offence};
use squad_primitives::batch::BatchLimits;
use squad_primitives::message::{FinalityMessage, LaneMessage};
use squad_primitives::{Batch, NetworkId, OperatorId, Poa, SignedHeader};
use squad_proto::peer::{self, PeerMessage};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use tokio::sync::Semaphore;

/// Batches that are read for peers at the same time. A peer that asks and gives up at once would
/// otherwise begin as many as the machine has threads for.
const READS_MAX: usize = 4;

/// A batch to be checked.
#[derive(Debug)]
pub(crate) struct Unchecked {
    from: OperatorId,
    signed: SignedHeader,
    body: Bytes,
    poas: Vec<Poa>,
    credit: Credit,
}

/// Receives frames.
#[derive(Debug)]
pub(crate) struct Gate {
    core: CoreSender,
    checker: Sender<Unchecked>,
    reader: Arc<Reader>,
    /// Where messages about finality go, if they are followed.
    mach: Option<MachSender>,
    /// Batches that are being read for peers.
    reads: Arc<Semaphore>,
    links: std::sync::OnceLock<DataPlane>,
}

impl Gate {
    /// Sends messages to `core`, batches to `checker`, and what concerns finality to `mach`.
    pub(crate) fn new(
        core: CoreSender,
        checker: Sender<Unchecked>,
        reader: Arc<Reader>,
        mach: Option<MachSender>,
    ) -> Self {
        Self {
            core,
            checker,
            reader,
            mach,
            reads: Arc::new(Semaphore::new(READS_MAX)),
            links: std::sync::OnceLock::new(),
        }
    }

    /// Tells the gate where to report faults; called once the data plane runs.
    pub(crate) fn attach(&self, links: DataPlane) {
        let _ = self.links.set(links);
    }

    fn undecodable(&self, from: OperatorId, error: &dyn std::fmt::Display) {
        tracing::debug!(peer = %from, %error, "undecodable frame");
        if let Some(links) = self.links.get() {
            links.penalize(from, Offence::Undecodable);
        }
    }
}

impl Gate {
    /// Takes a message about finality. What is dropped because too much waits is repeated by its sender
    /// or covered by a later one.
    fn finality(&self, from: OperatorId, message: &FinalityMessage, credit: Credit) {
        let input = match message {
            FinalityMessage::Attestation(bytes) => Attestation::from_bytes(bytes)
                .map(|found| MachInput::Attestation(from, Box::new(found), credit)),
            FinalityMessage::Certificate(bytes) => Certificate::from_bytes(bytes)
                .map(|found| MachInput::Certificate(from, Box::new(found), credit)),
        };
        match (input, &self.mach) {
            (Ok(input), Some(mach)) => {
                let _ = mach.offer(input);
            }
            // This node takes no part in certificates.
            (Ok(_), None) => {}
            (Err(error), _) => self.undecodable(from, &error),
        }
    }
}

impl Inbound for Gate {
    fn frame(&self, from: OperatorId, class: Class, frame: Bytes, credit: Credit) {
        // Sends fail only while the process stops.
        let _ = match (class, peer::decode(frame)) {
            (Class::Consensus, Ok(PeerMessage::Consensus(message))) => self
                .core
                .send(CoreInput::Consensus(from, message, credit))
                .is_ok(),
            (Class::Batches, Ok(PeerMessage::Lane(LaneMessage::Batch { signed, body, poas }))) => {
                let unchecked = Unchecked {
                    from,
                    signed,
                    body,
                    poas,
                    credit,
                };
                self.checker.send(unchecked).is_ok()
            }
            (Class::Acks | Class::Batches, Ok(PeerMessage::Lane(message))) => self
                .core
                .send(CoreInput::Lane(from, message, credit))
                .is_ok(),
            (Class::Acks, Ok(PeerMessage::Finality(message))) => {
                self.finality(from, &message, credit);
                true
            }
            (_, Ok(_)) => {
                self.undecodable(from, &"message in a frame of another class");
                false
            }
            (_, Err(error)) => {
                self.undecodable(from, &error);
                false
            }
        };
    }

    fn fetch(&self, from: OperatorId, request: Bytes) -> BoxFuture<'static, Option<Bytes>> {
        let digest = match peer::decode(request) {
            Ok(PeerMessage::Lane(LaneMessage::BatchRequest(digest))) => digest,
            Ok(_) => {
                self.undecodable(from, &"request of an unknown kind");
                return futures::future::ready(None).boxed();
            }
            Err(error) => {
                self.undecodable(from, &error);
                return futures::future::ready(None).boxed();
            }
        };
        let (reader, reads) = (self.reader.clone(), self.reads.clone());
        async move {
            // The semaphore is never closed.
            let place = reads.acquire_owned().await.ok()?;
            tokio::task::spawn_blocking(move || {
                // Given back when the reading is over, which giving up does not end.
                let _place = place;
                match reader.batch(&digest) {
                    Ok(batch) => batch.map(|batch| encode_batch(&batch)),
                    Err(error) => super::fatal(&error),
                }
            })
            .await
            .ok()
            .flatten()
        }
        .boxed()
    }

    fn connected(&self, peer: OperatorId) {
        let _ = self.core.send(CoreInput::Connected(peer));
        if let Some(mach) = &self.mach {
            mach.tell(MachInput::Connected(peer));
        }
    }

    fn disconnected(&self, peer: OperatorId) {
        let _ = self.core.send(CoreInput::Disconnected(peer));
    }
}

/// A batch as an answer to a fetch.
pub(crate) fn encode_batch(batch: &Batch) -> Bytes {
    peer::encode(&LaneMessage::Batch {
        signed: *batch.signed(),
        body: batch.body().clone(),
        poas: Vec::new(),
    })
}

/// Reads an answer to a fetch. `None` if it holds no batch, or one whose body isn't its header's.
pub(crate) fn parse_batch(
    network: &NetworkId,
    reply: Bytes,
    limits: &BatchLimits,
) -> Option<(Batch, Vec<Poa>)> {
    match peer::decode(reply) {
        Ok(PeerMessage::Lane(LaneMessage::Batch { signed, body, poas })) => {
            let batch = Batch::parse(network, signed, body, limits).ok()?;
            Some((batch, poas))
        }
        _ => None,
    }
}

/// Checks batches until the gate is gone.
pub(crate) fn check_batches(
    network: NetworkId,
    limits: BatchLimits,
    inputs: &Receiver<Unchecked>,
    core: &CoreSender,
    links: &DataPlane,
) {
    while let Ok(unchecked) = inputs.recv() {
        let Unchecked {
            from,
            signed,
            body,
            poas,
            credit,
        } = unchecked;
        match Batch::parse(&network, signed, body, &limits) {
            Ok(batch) => {
                let input = CoreInput::Batch {
                    from,
                    batch,
                    poas,
                    credit: Some(credit),
                };
                if core.send(input).is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::debug!(peer = %from, %error, "bad batch");
                links.penalize(from, Offence::Undecodable);
            }
        }
    }
}
