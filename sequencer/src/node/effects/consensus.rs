//! Outputs of the consensus core: its records, the messages that wait for them, and answers to peers
//! that lag.

use super::{Effects, Outgoing};
use crate::node::fatal;
use squad_consensus::{Output, PeerFault, PersistId, SafetyRecord};
use squad_network::data::{Class, DataPlane, Offence};
use squad_primitives::message::{BLOCKS_PER_PAGE, ConsensusMessage};
use squad_primitives::{Digest, Height, OperatorId};
use squad_proto::peer;
use squad_storage::{Changes, Database, Table};

/// Bytes of committed blocks in one sync answer: it travels in the consensus class, whose frames end at
/// 64 KiB.
const SYNC_BYTES_MAX: usize = 48 << 10;

impl Effects {
    /// A consensus output other than those that the core loop handles itself.
    pub(super) fn on_consensus(&mut self, output: Output) {
        match output {
            Output::Persist { id, records } => self.persist(id, &records),
            Output::Broadcast { message, after } => {
                let frame = peer::encode(&message);
                self.leave(Outgoing::All(frame), after.is_some());
            }
            Output::Send { to, message, after } => {
                let frame = peer::encode(&message);
                self.leave(Outgoing::One(to, frame), after.is_some());
            }
            Output::Forget(ranges) => self.forget.push_back((self.committed, ranges)),
            Output::ServeBlocks { to, from } => self.serve_blocks(to, from),
            Output::ServeBlock { to, hash } => self.serve_block(to, &hash),
            Output::Evidence(evidence) => {
                self.world.metrics.evidence.inc();
                tracing::error!(operator = %evidence.operator(), ?evidence, "operator contradicted itself");
            }
            Output::PeerFault { from, fault } => {
                self.world.metrics.peer_faults.inc();
                // Only forgery is held against a peer: the rest may be a message that came too late.
                if matches!(fault, PeerFault::BadSignature | PeerFault::BadCertificate) {
                    self.world.links.penalize(from, Offence::BadSignature);
                }
                tracing::debug!(peer = %from, %fault, "peer fault");
            }
            Output::Conflict(certificate) => {
                tracing::error!(
                    ?certificate,
                    "two conflicting blocks are certified: more than a third of stake is faulty"
                );
                std::process::abort();
            }
            other => tracing::error!(?other, "unhandled consensus output"),
        }
    }

    fn persist(&mut self, id: PersistId, records: &[SafetyRecord]) {
        let (last, changes) = self
            .record
            .get_or_insert_with(|| (id, Changes::new(Database::Safety)));
        *last = id;
        for record in records {
            changes.put(Table::SafetyConsensus, record.key(), record.value());
        }
    }

    fn leave(&mut self, outgoing: Outgoing, waits: bool) {
        if waits {
            self.held.push(outgoing);
        } else {
            transmit(&self.world.links, outgoing);
        }
    }

    fn serve_blocks(&self, to: OperatorId, from: Height) {
        match self
            .world
            .reader
            .synced_blocks(from, BLOCKS_PER_PAGE, SYNC_BYTES_MAX)
        {
            Ok(blocks) if blocks.is_empty() => {}
            Ok(blocks) => self.send(to, &ConsensusMessage::Sync(blocks)),
            Err(error) => fatal(&error),
        }
    }

    fn serve_block(&self, to: OperatorId, hash: &Digest) {
        let found = self
            .world
            .reader
            .height_of(hash)
            .and_then(|height| match height {
                Some(height) => self.world.reader.block(height),
                None => Ok(None),
            });
        match found {
            Ok(Some(block)) => {
                self.send(
                    to,
                    &ConsensusMessage::Block(Box::new(block.committed.block)),
                );
            }
            Ok(None) => {}
            Err(error) => fatal(&error),
        }
    }

    fn send(&self, to: OperatorId, message: &ConsensusMessage) {
        let frame = peer::encode(message);
        transmit(&self.world.links, Outgoing::One(to, frame));
    }

    /// The result of a block is durable: what consensus kept to be able to repeat it may go.
    pub(crate) fn processed(&mut self, height: Height) {
        self.processed = height;
        // Each range reaches from the start of its kind up to a view, so the last one covers the others.
        let mut ranges = Vec::new();
        while self.forget.front().is_some_and(|(at, _)| *at <= height) {
            ranges = self
                .forget
                .pop_front()
                .map(|(_, ranges)| ranges)
                .unwrap_or_default();
        }
        if !ranges.is_empty() {
            let mut changes = Changes::new(Database::Safety).without_sync();
            for range in ranges {
                changes.delete_range(Table::SafetyConsensus, range.start, range.end);
            }
            self.world.store.commit(changes, Box::new(|| {}));
        }
    }
}

pub(super) fn transmit(links: &DataPlane, outgoing: Outgoing) {
    match outgoing {
        Outgoing::All(frame) => drop(links.broadcast(Class::Consensus, frame)),
        // A peer that is away is served again by retransmission.
        Outgoing::One(to, frame) => drop(links.send(to, Class::Consensus, frame)),
    }
}
