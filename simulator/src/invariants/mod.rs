//! What must hold at every moment, judged by what can be seen from outside: packets of honest operators,
//! their commits and ordered blocks, the durable images of their disks. Each rule has a file.
//!
//! "Honest" are operators that keep to the protocol and keep their disks; crashes and failed writes don't
//! make an operator dishonest.

mod acknowledged;
mod acknowledgements;
mod agreement;
mod availability;
mod bounds;
mod certificates;
mod coverage;
mod durable_first;
mod evidence;
mod lane_chains;
mod promises;
mod vote_once;

pub use bounds::Bounds;

use crate::observe::Seen;
use crate::world::Slot;
use squad_primitives::message::ConsensusMessage;
use squad_primitives::{
    Batch, Block, Committee, Digest, NetworkId, SignedHeader, Verifier, ViewId, Vote,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub invariant: &'static str,
    /// What was seen.
    pub what: String,
}

/// What everybody may know.
#[derive(Debug)]
pub struct Facts {
    /// The network.
    pub network: NetworkId,
    /// Committee of epoch 0.
    pub committee: Committee,
    /// Verifier of all signatures.
    pub verifier: Arc<dyn Verifier>,
    /// Coverage delay, in microseconds.
    pub coverage_us: u64,
    /// Bytes of bodies in one block.
    pub block_bytes_max: u64,
    /// Window of a lane, in batches.
    pub window_batches: u64,
    /// Headers of batches that were sent or accepted. One whose owner crashed in between, and that others
    /// know from answers about headers, is missing.
    pub headers: BTreeMap<Digest, SignedHeader>,
    /// Every block that was ever proposed or committed.
    pub blocks: BTreeMap<Digest, Block>,
    /// View of the certificate inside each proposal that has one of the same epoch.
    pub justified: BTreeMap<(ViewId, Digest), ViewId>,
}

impl Facts {
    fn learn(&mut self, seen: &Seen) {
        use crate::node::Packet;
        match seen {
            Seen::Accepted(batch)
            | Seen::Sent(_, Packet::Batch { batch, .. } | Packet::Fetched(_, Some(batch))) => {
                self.learn_batch(batch)
            }
            Seen::Sent(_, Packet::Consensus(message)) => {
                if let ConsensusMessage::Proposal(proposal) = &**message {
                    let hash = proposal.block.hash(&self.network);
                    self.blocks
                        .entry(hash)
                        .or_insert_with(|| proposal.block.clone());
                    if let Some(justify) = &proposal.justify {
                        self.justified
                            .insert((proposal.at, hash), justify.statement.at);
                    }
                }
            }
            Seen::Committed(block) => {
                self.blocks
                    .entry(block.hash)
                    .or_insert_with(|| block.block.clone());
            }
            _ => {}
        }
    }

    /// A batch came into the world.
    pub fn learn_batch(&mut self, batch: &Batch) {
        self.headers
            .entry(batch.digest())
            .or_insert(*batch.signed());
    }
}

/// What an invariant looks at.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    /// What everybody may know.
    pub facts: &'a Facts,
    /// All nodes with their disks.
    pub slots: &'a [Slot],
    /// True time, in microseconds.
    pub now: u64,
}

impl Ground<'_> {
    /// Whether an operator is honest.
    #[must_use]
    pub fn is_honest(&self, operator: squad_primitives::OperatorId) -> bool {
        self.slots
            .iter()
            .filter(|slot| slot.operator == operator)
            .all(|slot| slot.honest)
    }
}

/// A rule.
trait Invariant {
    /// Its name.
    fn name(&self) -> &'static str;

    /// Something was seen of the honest node in a slot.
    fn see(&mut self, ground: &Ground<'_>, slot: usize, seen: &Seen) -> Result<(), String>;

    /// Faults have stopped, and everything had time to settle.
    fn settled(&mut self, _ground: &Ground<'_>) -> Result<(), String> {
        Ok(())
    }
}

/// All rules.
pub struct Invariants {
    /// What everybody may know.
    pub facts: Facts,
    rules: Vec<Box<dyn Invariant>>,
}

impl std::fmt::Debug for Invariants {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Invariants")
            .field("rules", &self.rules.len())
            .finish_non_exhaustive()
    }
}

impl Invariants {
    /// All rules, before anything was seen.
    #[must_use]
    pub fn new(facts: Facts) -> Self {
        Self {
            facts,
            rules: vec![
                Box::<agreement::Agreement>::default(),
                Box::<vote_once::VoteOnce>::default(),
                Box::<promises::Promises>::default(),
                Box::<certificates::Certificates>::default(),
                Box::<lane_chains::LaneChains>::default(),
                Box::<acknowledgements::Acknowledgements>::default(),
                Box::<availability::Availability>::default(),
                Box::<acknowledged::Acknowledged>::default(),
                Box::<coverage::Coverage>::default(),
                Box::<evidence::OnlyGuilty>::default(),
                Box::<durable_first::DurableFirst>::default(),
            ],
        }
    }

    /// Something was seen of the node in a slot. Dishonest nodes only add to what is known.
    ///
    /// # Errors
    /// A rule is broken.
    pub fn see(
        &mut self,
        slots: &[Slot],
        now: u64,
        slot: usize,
        seen: &Seen,
    ) -> Result<(), Violation> {
        self.facts.learn(seen);
        if !slots[slot].honest {
            return Ok(());
        }
        let facts = &self.facts;
        let ground = Ground { facts, slots, now };
        for rule in &mut self.rules {
            rule.see(&ground, slot, seen).map_err(|what| Violation {
                invariant: rule.name(),
                what: format!("{}: {what}", slots[slot].operator),
            })?;
        }
        Ok(())
    }

    /// Faults have stopped, and everything had time to settle.
    ///
    /// # Errors
    /// A rule is broken.
    pub fn settled(&mut self, slots: &[Slot], now: u64) -> Result<(), Violation> {
        let facts = &self.facts;
        let ground = Ground { facts, slots, now };
        for rule in &mut self.rules {
            rule.settled(&ground).map_err(|what| Violation {
                invariant: rule.name(),
                what,
            })?;
        }
        Ok(())
    }
}

/// The vote that a packet carries, a proposal's included.
fn vote_in(facts: &Facts, seen: &Seen) -> Option<Vote> {
    let Seen::Sent(_, crate::node::Packet::Consensus(message)) = seen else {
        return None;
    };
    match &**message {
        ConsensusMessage::Vote(vote) => Some(vote.clone()),
        ConsensusMessage::Proposal(proposal) => Some(proposal.vote(&facts.network)),
        _ => None,
    }
}
