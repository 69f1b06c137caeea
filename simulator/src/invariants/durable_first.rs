//! Nothing that binds an operator is on the wire before its record is durable: proposals, votes,
//! timeouts, commit votes, acknowledgements, own batches.

use super::{Ground, Invariant, vote_in};
use crate::disk::Image;
use crate::node::Packet;
use crate::observe::Seen;
use squad_primitives::message::{ConsensusMessage, LaneMessage};
use squad_primitives::{Ack, StatementKind, Vote};

#[derive(Debug, Default)]
pub(super) struct DurableFirst;

fn vote(image: &Image, vote: &Vote, proposal: bool) -> Result<(), String> {
    let (at, block) = (vote.statement.at, vote.statement.block);
    let state = &image.state;
    let recorded = match vote.statement.kind {
        StatementKind::Vote => {
            let same = state.voted.at == at && state.voted.block == block;
            (state.voted.at > at || same) && (!proposal || state.proposed >= at)
        }
        StatementKind::Timeout => state.timed_out >= at,
        StatementKind::CommitVote => {
            let cast = state.commit_voted;
            cast.at > at || (cast.at == at && cast.block == block)
        }
    };
    if recorded {
        Ok(())
    } else {
        Err(format!("{:?} before its record: {state:?}", vote.statement))
    }
}

/// Record and body of what is acknowledged are durable. What lies below is durable as well, since a later
/// body is only acknowledged together with it.
fn ack(image: &Image, ack: &Ack) -> Result<(), String> {
    let tip = ack.tip;
    let recorded = image
        .acked
        .get(&tip.lane)
        .is_some_and(|seq| *seq >= tip.seq);
    if recorded && image.bodies.contains_key(&tip.digest) {
        Ok(())
    } else {
        Err(format!(
            "acknowledges {} of lane {} before it is durable",
            tip.seq, tip.lane
        ))
    }
}

impl Invariant for DurableFirst {
    fn name(&self) -> &'static str {
        "durable-first"
    }

    fn see(&mut self, ground: &Ground<'_>, slot: usize, seen: &Seen) -> Result<(), String> {
        let Seen::Sent(_, packet) = seen else {
            return Ok(());
        };
        let node = &ground.slots[slot];
        let image = &node.disk.image;
        if let Some(cast) = vote_in(ground.facts, seen) {
            let proposal = matches!(packet, Packet::Consensus(message)
                if matches!(**message, ConsensusMessage::Proposal(_)));
            return vote(image, &cast, proposal);
        }
        match packet {
            Packet::Lane(message) => match &**message {
                LaneMessage::Ack(said) => ack(image, said),
                _ => Ok(()),
            },
            Packet::Batch { batch, .. } if batch.header().lane == node.operator => {
                if image.bodies.contains_key(&batch.digest()) {
                    Ok(())
                } else {
                    Err(format!(
                        "own batch {} leaves before it is durable",
                        batch.header().seq
                    ))
                }
            }
            _ => Ok(()),
        }
    }
}
