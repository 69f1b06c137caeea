//! What is written down of a run: a hash over everything that was seen, and if asked for a trace.

use super::World;
use crate::node::Packet;
use crate::observe::Seen;
use squad_primitives::Digest;
use squad_primitives::message::{ConsensusMessage, LaneMessage};

/// Hash and trace.
#[derive(Debug)]
pub(super) struct Observer {
    hash: u64,
    trace: bool,
    /// Lines of the trace.
    pub(super) lines: Vec<String>,
}

impl Observer {
    pub(super) const fn new(trace: bool) -> Self {
        Self {
            hash: 0,
            trace,
            lines: Vec::new(),
        }
    }

    pub(super) const fn hash(&self) -> u64 {
        self.hash
    }

    fn mix(&mut self, words: &[u64]) {
        for word in words {
            let product = u128::from(self.hash ^ word ^ 0x9e37_79b9_7f4a_7c15)
                * u128::from(0xa076_1d64_78bd_642f_u64);
            self.hash = (product >> 64) as u64 ^ product as u64 ^ self.hash.rotate_left(17);
        }
    }

    pub(super) fn note(&mut self, now: u64, line: impl FnOnce() -> String) {
        if self.trace {
            self.lines
                .push(format!("{:>12.6} {}", now as f64 / 1e6, line()));
        }
    }
}

fn word(digest: &Digest) -> u64 {
    digest
        .0
        .first_chunk::<8>()
        .map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// What of a packet goes into the hash.
fn essence(packet: &Packet) -> (u64, u64) {
    match packet {
        Packet::Consensus(message) => match &**message {
            ConsensusMessage::Proposal(proposal) => (
                1,
                word(&proposal.block.parent.hash)
                    ^ proposal.at.view.0
                    ^ proposal.block.timestamp_ms,
            ),
            ConsensusMessage::Vote(vote) => (
                2 + vote.statement.kind as u64,
                word(&vote.statement.block) ^ vote.statement.at.view.0,
            ),
            ConsensusMessage::Certificate(certificate) => (
                6,
                word(&certificate.statement.block) ^ certificate.statement.at.view.0,
            ),
            ConsensusMessage::CertificatesRequest { after, up_to } => {
                (7, after.view.0 ^ up_to.view.0.rotate_left(20))
            }
            ConsensusMessage::Certificates(page) => (8, page.len() as u64),
            ConsensusMessage::BlockRequest(hash) => (9, word(hash)),
            ConsensusMessage::Block(block) => (10, block.height.0),
            ConsensusMessage::SyncRequest(height) => (11, height.0),
            ConsensusMessage::Sync(blocks) => (12, blocks.len() as u64),
        },
        Packet::Lane(message) => match &**message {
            LaneMessage::Ack(ack) => (13, word(&ack.tip.digest)),
            LaneMessage::Poa(poa) => (14, word(&poa.tip.digest)),
            LaneMessage::Status(tips) => (15, tips.iter().map(|tip| tip.seq.0).sum()),
            LaneMessage::HeadersRequest { after, tip } => (16, after.0 ^ word(&tip.digest)),
            LaneMessage::Headers { headers, .. } => (17, headers.len() as u64),
            LaneMessage::Batch { .. } | LaneMessage::BatchRequest(_) => (18, 0),
        },
        Packet::Batch { batch, poas } => (20, word(&batch.digest()) ^ poas.len() as u64),
        Packet::Fetch(digest) => (21, word(digest)),
        Packet::Fetched(digest, found) => (22, word(digest) ^ u64::from(found.is_some())),
    }
}

/// A packet in a line of the trace.
fn describe(packet: &Packet) -> String {
    match packet {
        Packet::Consensus(message) => match &**message {
            ConsensusMessage::Proposal(proposal) => format!(
                "proposal {:?} height {} on {:?}",
                proposal.at, proposal.block.height, proposal.block.parent.at
            ),
            ConsensusMessage::Vote(vote) => {
                let statement = vote.statement;
                format!(
                    "{:?} {:?} {}",
                    statement.kind, statement.at, statement.block
                )
            }
            ConsensusMessage::Certificate(certificate) => {
                format!("certificate {:?}", certificate.statement)
            }
            ConsensusMessage::Certificates(page) => {
                let views: Vec<_> = page
                    .iter()
                    .map(|c| (c.statement.kind, c.statement.at))
                    .collect();
                format!("certificates {views:?}")
            }
            ConsensusMessage::Sync(blocks) => format!("{} heights", blocks.len()),
            other => format!("{other:?}"),
        },
        Packet::Lane(message) => match &**message {
            LaneMessage::Ack(ack) => format!("ack {} of lane {}", ack.tip.seq, ack.tip.lane),
            LaneMessage::Poa(poa) => format!("proof {} of lane {}", poa.tip.seq, poa.tip.lane),
            LaneMessage::Headers { lane, headers, .. } => {
                format!("{} headers of lane {lane}", headers.len())
            }
            other => format!("{other:?}"),
        },
        Packet::Batch { batch, .. } => {
            format!(
                "batch {} of lane {}",
                batch.header().seq,
                batch.header().lane
            )
        }
        Packet::Fetch(digest) => format!("fetch {digest}"),
        Packet::Fetched(digest, found) => format!("fetched {digest}: {}", found.is_some()),
    }
}

fn line(seen: &Seen) -> String {
    match seen {
        Seen::Sent(None, packet) => format!("→ all: {}", describe(packet)),
        Seen::Sent(Some(to), packet) => format!("→ {to}: {}", describe(packet)),
        Seen::Committed(block) => format!("commits {} {}", block.block.height, block.hash),
        Seen::Ordered(block) => format!("orders {}", block.height()),
        Seen::Accepted(batch) => format!("makes batch {}", batch.header().seq),
        Seen::Evidence(evidence) => format!("{evidence:?}"),
        Seen::Accused(peer, what) => format!("accuses {peer}: {what}"),
        Seen::Conflict(certificate) => format!("sees a conflict: {:?}", certificate.statement),
    }
}

impl World {
    /// Something was seen of a node: it goes into the hash, the trace, and before the rules.
    pub(super) fn saw(&mut self, slot: usize, seen: Seen) {
        let now = self.now;
        let me = self.slots[slot].operator;
        let (kind, content) = match &seen {
            Seen::Sent(to, packet) => {
                let (kind, content) = essence(packet);
                let to = to.map_or(u32::MAX, |to| to.0);
                (kind, content ^ u64::from(to).rotate_left(40))
            }
            Seen::Committed(block) => (30, word(&block.hash)),
            Seen::Ordered(block) => (
                31,
                block.height().0 ^ (block.ordered.len() as u64).rotate_left(32),
            ),
            Seen::Accepted(batch) => (32, word(&batch.digest())),
            Seen::Evidence(evidence) => (33, u64::from(evidence.operator().0)),
            Seen::Accused(peer, _) => (34, u64::from(peer.0)),
            Seen::Conflict(_) => (35, 0),
        };
        self.observer.mix(&[now, slot as u64, kind, content]);
        self.observer
            .note(now, || format!("{me}/{slot} {}", line(&seen)));
        match &seen {
            Seen::Committed(block) => self.note_age(block),
            Seen::Evidence(_) => self.coverage.count("evidence"),
            Seen::Accused(..) => self.coverage.count("accusation"),
            _ => {}
        }
        if let Err(violation) = self.invariants.see(&self.slots, now, slot, &seen) {
            self.fail(violation);
        }
    }
}
