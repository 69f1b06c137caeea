//! Every state that an operator was ever in, and what came of each event in it.
//!
//! Few states of single operators make many states of a network. So each is kept once, under its
//! [`Node::fingerprint`], and each event is given to the real core once per such state. That two cores
//! with equal fingerprints do answer alike is checked as well: now and then the events already
//! answered by the one that is kept are given to the one that is dropped ([`Table::audits`]).

use crate::act::{Act, Effect, Info};
use crate::book::{Book, Item};
use crate::net::{self, Net};
use crate::node::{CROSSED, Effects, Event, Node, synced};
use crate::scope::Setup;
use squad_primitives::message::ConsensusMessage;
use squad_primitives::{Digest, OperatorId};
use std::collections::HashMap;
use std::sync::Arc;

/// One of so many cores that are dropped is compared with the one that is kept.
const AUDIT_EVERY: u64 = 64;

#[derive(Debug)]
struct Entry {
    node: Arc<Node>,
    info: Info,
    answers: HashMap<Act, Arc<Effect>>,
}

/// See the module documentation.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) book: Book,
    entries: Vec<Entry>,
    by_fingerprint: HashMap<u64, u32>,
    nets: Vec<Net>,
    nets_by_fingerprint: HashMap<u64, u32>,
    chains: Vec<Vec<u16>>,
    chains_by_content: HashMap<Vec<u16>, u32>,
    seen: u64,
    /// Answers compared, and those that differed.
    pub(crate) audits: (u64, u64),
}

impl Table {
    pub(crate) fn new(book: Book) -> Self {
        Self {
            book,
            entries: Vec::new(),
            by_fingerprint: HashMap::new(),
            nets: Vec::new(),
            nets_by_fingerprint: HashMap::new(),
            chains: Vec::new(),
            chains_by_content: HashMap::new(),
            seen: 0,
            audits: (0, 0),
        }
    }

    /// States of single operators, and sets of signed items.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.entries.len(), self.nets.len())
    }

    pub(crate) fn node(&self, number: u32) -> &Arc<Node> {
        &self.entries[number as usize].node
    }

    pub(crate) fn info(&self, number: u32) -> &Info {
        &self.entries[number as usize].info
    }

    pub(crate) fn net(&self, number: u32) -> &Net {
        &self.nets[number as usize]
    }

    pub(crate) fn chain(&self, number: u32) -> &[u16] {
        &self.chains[number as usize]
    }

    pub(crate) fn answer(&self, node: u32, act: Act) -> Option<&Arc<Effect>> {
        self.entries[node as usize].answers.get(&act)
    }

    /// The event that an act stands for.
    pub(crate) fn event(&self, setup: &Setup, act: Act) -> Event {
        // Certificates and blocks may come from anybody; who is honest must not be blamed for a stale one.
        let from = OperatorId(setup.scope.byzantine[0]);
        let one = |from, message| Event::Messages(vec![(from, message)]);
        match act {
            Act::Proposal(number, mask) => {
                let mut proposal = self.book.proposals.get(number).clone();
                if let Some(justify) = &mut proposal.justify {
                    *justify = net::certificate(setup, justify.statement, mask);
                }
                let leader = proposal.leader;
                one(leader, ConsensusMessage::Proposal(Box::new(proposal)))
            }
            Act::Votes(statement, mask) => {
                let statement = *self.book.statements.get(statement);
                let votes = net::operators(mask).map(|operator| {
                    let vote = net::vote(setup, statement, operator);
                    (operator, ConsensusMessage::Vote(vote))
                });
                Event::Messages(votes.collect())
            }
            Act::Certificate(statement, mask) => {
                let statement = *self.book.statements.get(statement);
                let certificate = net::certificate(setup, statement, mask);
                one(from, ConsensusMessage::Certificate(Box::new(certificate)))
            }
            Act::Synced(number, mask) => {
                let mut block = synced(self.book.synced.get(number));
                let statement = block.proof.certificate.statement;
                block.proof.certificate = net::certificate(setup, statement, mask);
                one(from, ConsensusMessage::Sync(vec![block]))
            }
            Act::Pause => Event::Pause,
            Act::Flush => Event::Flush,
            Act::Store => Event::Store,
            Act::Crash => Event::Crash,
            Act::Epoch => Event::Epoch,
        }
    }

    /// Notes what an act in a state led to.
    pub(crate) fn learn(
        &mut self,
        setup: &Setup,
        from: u32,
        act: Act,
        (node, effects): (Node, Effects),
    ) -> Arc<Effect> {
        let effect = Arc::new(self.effect(setup, node, &effects));
        let answers = &mut self.entries[from as usize].answers;
        Arc::clone(answers.entry(act).or_insert(effect))
    }

    pub(crate) fn effect(&mut self, setup: &Setup, node: Node, effects: &Effects) -> Effect {
        let mut sent = Vec::new();
        for (_, message) in &effects.sent {
            sent.extend(self.item(setup, message));
        }
        sent.sort_unstable();
        sent.dedup();
        let block = |hash: &Digest| self.book.blocks.find(hash).expect("a block was proposed");
        let commits = effects.commits.iter();
        Effect {
            commits: commits
                .map(|(height, hash)| (height.0, block(hash)))
                .collect(),
            alarms: effects.alarms,
            sent,
            node: self.keep(setup, node),
        }
    }

    /// Signatures that count; what is said beyond the last view of the scope is left out.
    fn item(&mut self, setup: &Setup, message: &ConsensusMessage) -> Option<Item> {
        match message {
            ConsensusMessage::Proposal(proposal) if setup.covers(proposal.at) => {
                Some(Item::Proposal(self.book.proposal(proposal)))
            }
            ConsensusMessage::Vote(vote) if setup.covers(vote.statement.at) => {
                let signer = u8::try_from(vote.signer.0).expect("few operators");
                Some(Item::Said(self.book.statement(vote.statement), signer))
            }
            // Requests, answers and certificates: see the head of `net`.
            _ => None,
        }
    }

    /// Number of a state of an operator; a new one if it was never met.
    fn keep(&mut self, setup: &Setup, node: Node) -> u32 {
        let fingerprint = node.fingerprint(&setup.config.network);
        if let Some(known) = self.by_fingerprint.get(&fingerprint).copied() {
            self.seen += 1;
            if self.seen.is_multiple_of(AUDIT_EVERY) {
                self.audit(setup, known, &node);
            }
            return known;
        }
        let suspects = node.core.status().suspects;
        assert!(
            suspects.is_empty(),
            "the scope is too long to leave silence out"
        );
        let essence = node.core.essence();
        let chain = node.chain().to_vec();
        let info = Info {
            at: essence.at,
            epoch_over: essence.flags[1],
            height: essence.root.1.0,
            chain: chain.iter().map(|block| self.book.synced(block)).collect(),
            waiting: node.waiting(),
            fingerprint,
        };
        let number = u32::try_from(self.entries.len()).expect("fewer than 2^32 states");
        self.entries.push(Entry {
            node: Arc::new(node),
            info,
            answers: HashMap::new(),
        });
        self.by_fingerprint.insert(fingerprint, number);
        number
    }

    /// Compares a node with the one kept in its place.
    fn audit(&mut self, setup: &Setup, kept: u32, other: &Node) {
        let answers = self.entries[kept as usize].answers.clone();
        for (act, expected) in answers {
            let (node, effects) = other.after(setup, self.event(setup, act));
            // An act that can't follow the history of the one or the other.
            if (effects.alarms | expected.alarms) & CROSSED != 0 {
                continue;
            }
            let fingerprint = node.fingerprint(&setup.config.network);
            let kept_after = self.entries[expected.node as usize].info.fingerprint;
            let mut sent = Vec::new();
            for (_, message) in &effects.sent {
                sent.extend(self.item(setup, message));
            }
            sent.sort_unstable();
            sent.dedup();
            let same = fingerprint == kept_after
                && sent == expected.sent
                && effects.commits.len() == expected.commits.len()
                && effects.alarms == expected.alarms;
            self.audits.0 += 1;
            self.audits.1 += u64::from(!same);
        }
    }

    /// Number of the network that has the items of another and these.
    pub(crate) fn net_with(&mut self, setup: &Setup, net: u32, sent: &[Item]) -> u32 {
        let items = self.joined(net, sent);
        self.keep_net(setup, items)
    }

    /// Items of a network and these, in order; nothing if all are there already.
    pub(crate) fn adds(&self, net: u32, sent: &[Item]) -> bool {
        let items = &self.net(net).items;
        sent.iter().any(|item| items.binary_search(item).is_err())
    }

    fn joined(&self, net: u32, sent: &[Item]) -> Vec<Item> {
        let mut items = self.net(net).items.to_vec();
        for item in sent {
            if let Err(place) = items.binary_search(item) {
                items.insert(place, *item);
            }
        }
        items
    }

    /// The network that has the items of another and these, if it was met before.
    pub(crate) fn find_net(&self, net: u32, sent: &[Item]) -> Option<u32> {
        let items = self.joined(net, sent);
        let fingerprint = net::fingerprint(&self.book, &items);
        self.nets_by_fingerprint.get(&fingerprint).copied()
    }

    pub(crate) fn keep_net(&mut self, setup: &Setup, items: Vec<Item>) -> u32 {
        let fingerprint = net::fingerprint(&self.book, &items);
        if let Some(known) = self.nets_by_fingerprint.get(&fingerprint) {
            return *known;
        }
        let net = Net::new(setup, &mut self.book, items.into());
        let number = u32::try_from(self.nets.len()).expect("fewer than 2^32 networks");
        self.nets.push(net);
        self.nets_by_fingerprint.insert(fingerprint, number);
        number
    }

    /// Number of a list of blocks, from height 1 on.
    pub(crate) fn keep_chain(&mut self, chain: Vec<u16>) -> u32 {
        if let Some(known) = self.chains_by_content.get(&chain) {
            return *known;
        }
        let number = u32::try_from(self.chains.len()).expect("fewer than 2^32 chains");
        self.chains.push(chain.clone());
        self.chains_by_content.insert(chain, number);
        number
    }
}
