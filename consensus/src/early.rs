//! Messages of the next epoch that arrive before its committee is known.

use squad_primitives::OperatorId;
use squad_primitives::message::ConsensusMessage;
use std::collections::{BTreeMap, VecDeque};

/// Messages kept per peer: a proposal, its votes and timeouts of the first views. What is dropped is
/// sent again by its sender.
const MESSAGES_MAX: usize = 8;
/// Peers for which messages are kept; twice the largest committee.
const PEERS_MAX: usize = 256;

/// Bounded queues by sender.
#[derive(Clone, Debug, Default)]
pub(crate) struct Early {
    queues: BTreeMap<OperatorId, VecDeque<ConsensusMessage>>,
}

impl Early {
    /// Keeps a message; the sender's oldest one makes room.
    pub(crate) fn push(&mut self, from: OperatorId, message: ConsensusMessage) {
        if self.queues.len() >= PEERS_MAX && !self.queues.contains_key(&from) {
            return;
        }
        let queue = self.queues.entry(from).or_default();
        if queue.len() >= MESSAGES_MAX {
            queue.pop_front();
        }
        queue.push_back(message);
    }

    /// All messages, in order of senders and arrival.
    pub(crate) fn messages(&self) -> impl Iterator<Item = (OperatorId, &ConsensusMessage)> {
        let queues = self.queues.iter();
        queues.flat_map(|(from, queue)| queue.iter().map(move |message| (*from, message)))
    }

    pub(crate) fn len(&self) -> usize {
        self.queues.values().map(VecDeque::len).sum()
    }

    /// Takes everything out, in order of senders and arrival.
    pub(crate) fn take(&mut self) -> Vec<(OperatorId, ConsensusMessage)> {
        std::mem::take(&mut self.queues)
            .into_iter()
            .flat_map(|(from, queue)| queue.into_iter().map(move |message| (from, message)))
            .collect()
    }
}
