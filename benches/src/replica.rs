//! A replica of `squad-consensus` with an in-memory store, as the node's shell would drive it.

use crate::committee::{NETWORK, committee, key, operator};
use crate::lanes::BusyLanes;
use crate::record::BlockHash;
use bytes::Bytes;
use squad_consensus::{Config, Core, Input, KeyRange, Output, PersistId, Recovered, SafetyRecord};
use squad_primitives::message::{BLOCKS_PER_PAGE, ConsensusMessage, SyncedBlock};
use squad_primitives::{
    CommittedBlock, Digest, Duration, Ed25519Verifier, Height, Now, OperatorId, Signer, Time,
};
use squad_proto::peer::{self, PeerMessage};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One epoch for every run.
const EPOCH_BLOCKS: u64 = 1_000_000_000;

/// What a replica does to the outside.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Send to one replica.
    Send(usize, Bytes),
    /// Send to all others.
    Broadcast(Bytes),
    /// A proposal is about to be handed to the network: its view and block.
    Proposed(u64, BlockHash),
    /// A block is committed and stored.
    Committed(BlockHash),
}

/// Core, lanes and store.
#[derive(Debug)]
pub struct Replica {
    core: Core,
    lanes: BusyLanes,
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    durable: PersistId,
    chain: Vec<CommittedBlock>,
    out: Vec<Output>,
}

impl Replica {
    /// A replica that never ran, of a committee of `members`.
    #[must_use]
    pub fn new(index: usize, members: usize, block_interval_min: Duration) -> Self {
        let mut config = Config::new(NETWORK, EPOCH_BLOCKS);
        config.block_interval_min = block_interval_min;
        let signer: Arc<dyn Signer> = key(index);
        Self {
            core: Core::new(
                config,
                Some((operator(index), signer)),
                Arc::new(Ed25519Verifier),
                committee(members),
                Recovered::genesis(),
            ),
            lanes: BusyLanes::new(members),
            records: BTreeMap::new(),
            durable: PersistId::default(),
            chain: Vec::new(),
            out: Vec::new(),
        }
    }

    /// When to call [`Replica::tick`] if nothing arrives first.
    #[must_use]
    pub const fn deadline(&self) -> Option<Time> {
        self.core.next_deadline()
    }

    /// Begins.
    pub fn start(&mut self, now: Now, effects: &mut Vec<Effect>) {
        self.step(now, Input::Start, effects);
    }

    /// The deadline has passed.
    pub fn tick(&mut self, now: Now, effects: &mut Vec<Effect>) {
        self.step(now, Input::Tick, effects);
    }

    /// A message arrived.
    ///
    /// # Panics
    /// If the bytes are no message of the core: here nobody sends any other.
    pub fn receive(&mut self, now: Now, from: usize, bytes: Bytes, effects: &mut Vec<Effect>) {
        let Ok(PeerMessage::Consensus(message)) = peer::decode(bytes) else {
            panic!("replica {from} sent bytes that are no message of the core");
        };
        let from = operator(from);
        self.step(now, Input::Message { from, message }, effects);
    }

    /// One step, and those that follow at once because the store is always durable.
    fn step(&mut self, now: Now, input: Input, effects: &mut Vec<Effect>) {
        let mut next = Some(input);
        while let Some(input) = next.take() {
            let before = self.durable;
            let mut out = std::mem::take(&mut self.out);
            self.core.step(now, input, &mut self.lanes, &mut out);
            for output in out.drain(..) {
                self.execute(output, effects);
            }
            self.out = out;
            if self.durable > before {
                next = Some(Input::Persisted(self.durable));
            }
        }
    }

    fn execute(&mut self, output: Output, effects: &mut Vec<Effect>) {
        match output {
            Output::Persist { id, records } => self.persist(id, &records),
            Output::Broadcast { message, after } => {
                assert!(after <= Some(self.durable), "sent before it is durable");
                let bytes = peer::encode(&message);
                if let ConsensusMessage::Proposal(proposal) = &message {
                    let hash = proposal.block.hash(&NETWORK);
                    effects.push(Effect::Proposed(proposal.at.view.0, hash.0));
                }
                effects.push(Effect::Broadcast(bytes));
            }
            Output::Send { to, message, after } => {
                assert!(after <= Some(self.durable), "sent before it is durable");
                send(to, &message, effects);
            }
            Output::Commit(block) => {
                let hash = block.hash.0;
                self.chain.push(block);
                effects.push(Effect::Committed(hash));
            }
            Output::Forget(ranges) => self.forget(&ranges),
            Output::ServeBlocks { to, from } => self.serve_page(to, from, effects),
            Output::ServeBlock { to, hash } => self.serve_block(to, hash, effects),
            // The mock lanes know everything everywhere.
            Output::ShareTips { .. } => {}
            // Nobody misbehaves here, and the epoch never ends.
            other => panic!("a core among honest replicas gave {other:?}"),
        }
    }

    fn persist(&mut self, id: PersistId, records: &[SafetyRecord]) {
        for record in records {
            self.records.insert(record.key(), record.value());
        }
        self.durable = id;
    }

    fn forget(&mut self, ranges: &[KeyRange]) {
        for range in ranges {
            let keys = self.records.range(range.start.clone()..range.end.clone());
            let keys: Vec<_> = keys.map(|(key, _)| key.clone()).collect();
            for key in keys {
                self.records.remove(&key);
            }
        }
    }

    fn serve_page(&self, to: OperatorId, from: Height, effects: &mut Vec<Effect>) {
        let first = usize::try_from(from.0.saturating_sub(1)).unwrap_or(usize::MAX);
        let page = self.chain.iter().skip(first).take(BLOCKS_PER_PAGE);
        let page = page.map(|block| SyncedBlock {
            block: block.block.clone(),
            proof: (*block.proof).clone(),
        });
        send(to, &ConsensusMessage::Sync(page.collect()), effects);
    }

    fn serve_block(&self, to: OperatorId, hash: Digest, effects: &mut Vec<Effect>) {
        let mut chain = self.chain.iter().rev();
        if let Some(found) = chain.find(|block| block.hash == hash) {
            let message = ConsensusMessage::Block(Box::new(found.block.clone()));
            send(to, &message, effects);
        }
    }
}

fn send(to: OperatorId, message: &ConsensusMessage, effects: &mut Vec<Effect>) {
    effects.push(Effect::Send(to.0 as usize, peer::encode(message)));
}
