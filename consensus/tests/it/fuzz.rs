//! A faulty operator with a quarter of the stake says anything that it can sign, in any order, while
//! honest ones crash and restart: nobody panics, no two honest ones disagree, no honest one contradicts
//! itself or is accused, and when the noise ends the network goes on.
//!
//! The oracle of the network checks agreement and contradictions at every message; see `net::oracle`.

use crate::net::{Setup, TestKey, World, committee, public_key};
use squad_consensus::{Config, Input, PersistId, SafetyRecord};
use squad_fuzz::{Bound, Result, Unstructured, bounded, damage, hostile, run, run_with};
use squad_primitives::certificate::CommitProof;
use squad_primitives::message::{ConsensusMessage, SyncedBlock};
use squad_primitives::{
    Block, BlockRef, Certificate, Cut, Digest, Duration, Epoch, Height, OperatorId, Proposal,
    Signature, SignerSet, Statement, StatementKind, View, ViewId, Vote,
};
use std::cell::RefCell;
use std::rc::Rc;

const FAULTY: usize = 3;
const LIAR: OperatorId = OperatorId(3);
const ENTROPY_BYTES: u32 = 16 << 10;
/// Messages that are remembered to be used again.
const HEARD_MAX: usize = 200;

/// Parts that the faulty operator has heard, to build new messages from.
#[derive(Default)]
struct Heard {
    messages: Vec<ConsensusMessage>,
    certificates: Vec<Certificate>,
    blocks: Vec<Block>,
}

impl Heard {
    fn hear(&mut self, message: &ConsensusMessage) {
        match message {
            ConsensusMessage::Proposal(proposal) => {
                keep(&mut self.blocks, proposal.block.clone());
                if let Some(justify) = &proposal.justify {
                    keep(&mut self.certificates, justify.clone());
                }
            }
            ConsensusMessage::Certificate(certificate) => {
                keep(&mut self.certificates, (**certificate).clone());
            }
            _ => {}
        }
        keep(&mut self.messages, message.clone());
    }
}

fn keep<T>(list: &mut Vec<T>, item: T) {
    if list.len() >= HEARD_MAX {
        list.remove(0);
    }
    list.push(item);
}

struct Liar<'a, 'b> {
    u: &'a mut Unstructured<'b>,
    world: &'a World,
    heard: &'a Heard,
    at: ViewId,
}

impl Liar<'_, '_> {
    fn key() -> TestKey {
        TestKey(public_key(FAULTY))
    }

    fn network(&self) -> Digest {
        self.world.setup.config.network
    }

    /// Mostly near the current view.
    fn view(&mut self) -> Result<ViewId> {
        let (epoch, view) = (self.at.epoch.0, self.at.view.0);
        let epoch = match self.u.int_in_range(0..=15)? {
            0 => epoch + 1,
            1 => epoch.saturating_sub(1),
            2 => self.u.arbitrary()?,
            _ => epoch,
        };
        let view = match self.u.int_in_range(0..=31)? {
            0 => self.u.arbitrary()?,
            1 => u64::MAX,
            2 => 0,
            3..=5 => view + 64 + self.u.int_in_range(0..=2)?,
            6..=9 => self.u.int_in_range(0..=view)?,
            _ => view.saturating_sub(2) + self.u.int_in_range(0..=6)?,
        };
        Ok(ViewId::new(Epoch(epoch), View(view)))
    }

    fn block(&mut self) -> Result<Block> {
        let mut block = match self.heard.blocks.is_empty() {
            true => Block {
                at: self.at,
                height: Height(1),
                parent: BlockRef::genesis(self.network()),
                timestamp_ms: crate::net::WALL_START_MS,
                cut: Cut::default(),
            },
            false => self.u.choose(&self.heard.blocks)?.clone(),
        };
        for _ in 0..self.u.int_in_range(0..=2)? {
            match self.u.int_in_range(0..=6)? {
                0 => block.at = self.view()?,
                1 => block.height = Height(block.height.0.wrapping_add(1)),
                2 => block.height = Height(self.u.arbitrary()?),
                3 => block.timestamp_ms = block.timestamp_ms.wrapping_add(1),
                4 => block.timestamp_ms = self.u.arbitrary()?,
                5 => {
                    let parent = self.u.choose_iter(self.heard.blocks.iter());
                    if let Ok(parent) = parent {
                        block.parent = parent.reference(&self.network());
                        block.height = parent.height.next();
                        block.at = self.view()?;
                    }
                }
                _ => block.cut = Cut::default(),
            }
        }
        Ok(block)
    }

    fn hash(&mut self) -> Result<Digest> {
        Ok(match self.u.int_in_range(0..=5)? {
            0 => Digest(self.u.arbitrary()?),
            _ => self.block()?.hash(&self.network()),
        })
    }

    fn statement(&mut self) -> Result<Statement> {
        let at = self.view()?;
        Ok(match self.u.int_in_range(0..=2)? {
            0 => Statement::vote(at, self.hash()?),
            1 => Statement::timeout(at),
            _ => Statement::commit_vote(at, self.hash()?),
        })
    }

    fn vote(&mut self) -> Result<Vote> {
        let statement = self.statement()?;
        let signer = match self.u.ratio(1, 12)? {
            true => OperatorId(self.u.int_in_range(0..=5)?),
            false => LIAR,
        };
        let mut vote = Vote::sign(&self.network(), statement, signer, &Self::key());
        if self.u.ratio(1, 8)? {
            vote.signature = Signature([1; 64]);
        }
        Ok(vote)
    }

    /// One that was heard, changed a little or not at all, or a forged one.
    fn certificate(&mut self) -> Result<Certificate> {
        if self.heard.certificates.is_empty() || self.u.ratio(1, 6)? {
            return self.forged();
        }
        let mut certificate = self.u.choose(&self.heard.certificates)?.clone();
        match self.u.int_in_range(0..=9)? {
            0 => certificate.statement = self.statement()?,
            1 => certificate.statement.kind = StatementKind::CommitVote,
            2 => certificate.signers = SignerSet::from_bytes(&[0b1111]).unwrap_or_default(),
            3 => drop(certificate.signatures.pop()),
            4 => certificate.signatures.reverse(),
            _ => {}
        }
        Ok(certificate)
    }

    fn forged(&mut self) -> Result<Certificate> {
        let statement = self.statement()?;
        let all = committee(statement.at.epoch, &self.world.setup.committees[0]);
        let votes = (0..4).map(|signer| {
            let signer = OperatorId(signer);
            Vote::sign(&self.network(), statement, signer, &Self::key())
        });
        let parts: Vec<_> = votes.map(|vote| (vote.signer, vote.signature)).collect();
        let (signers, signatures) = SignerSet::collect(&all, parts);
        Ok(Certificate {
            statement,
            signers,
            signatures,
        })
    }

    fn proposal(&mut self) -> Result<Proposal> {
        let mut at = self.view()?;
        // The next view that it may lead, most of the time.
        if at.view.0 < u64::MAX - 4 && !self.u.ratio(1, 8)? {
            while at.view.0 % 4 != 0 {
                at = at.next();
            }
        }
        let mut block = self.block()?;
        let justify = match self.u.ratio(1, 8)? {
            true => None,
            false => Some(self.certificate()?),
        };
        if self.u.ratio(2, 3)? {
            block.at = at;
        }
        // An honest proposal but for the block's content.
        if let Some(justify) = justify
            .as_ref()
            .filter(|_| !self.u.ratio(1, 3).unwrap_or(true))
        {
            let parents = self.heard.blocks.iter();
            let named = parents
                .map(|parent| (parent, parent.reference(&self.network())))
                .find(|(_, reference)| reference.hash == justify.statement.block);
            if let Some((parent, reference)) = named {
                block.parent = reference;
                block.height = parent.height.next();
                block.timestamp_ms = parent.timestamp_ms + 1;
                block.cut = parent.cut.clone();
            }
        }
        Ok(Proposal::sign(
            &self.network(),
            at,
            block,
            LIAR,
            justify,
            &Self::key(),
        ))
    }

    fn synced(&mut self, node: usize) -> Result<SyncedBlock> {
        let chain = &self.world.nodes[node].disk.chain;
        if chain.is_empty() || self.u.ratio(1, 4)? {
            let descendants = match self.u.int_in_range(0..=2)? {
                0 => Vec::new(),
                count => vec![self.block()?; count],
            };
            return Ok(SyncedBlock {
                block: self.block()?,
                proof: CommitProof {
                    certificate: self.certificate()?,
                    descendants,
                },
            });
        }
        let committed = self.u.choose(chain)?;
        Ok(SyncedBlock {
            block: committed.block.clone(),
            proof: (*committed.proof).clone(),
        })
    }

    fn message(&mut self, node: usize) -> Result<ConsensusMessage> {
        use ConsensusMessage as M;
        Ok(match self.u.int_in_range(0..=15)? {
            0..=3 => M::Proposal(Box::new(self.proposal()?)),
            4..=7 => M::Vote(self.vote()?),
            8 | 9 => M::Certificate(Box::new(self.certificate()?)),
            10 => {
                let count = self.u.int_in_range(0..=17)?;
                let mut page = Vec::new();
                for _ in 0..count {
                    page.push(self.certificate()?);
                }
                M::Certificates(page)
            }
            11 => M::CertificatesRequest {
                after: self.view()?,
                up_to: self.view()?,
            },
            12 => match self.u.arbitrary()? {
                true => M::BlockRequest(self.hash()?),
                false => M::SyncRequest(Height(self.u.int_in_range(0..=40)?)),
            },
            13 => M::Block(Box::new(self.block()?)),
            14 => {
                let mut page = Vec::new();
                for _ in 0..self.u.int_in_range(0..=5)? {
                    page.push(self.synced(node)?);
                }
                M::Sync(page)
            }
            _ => match self.heard.messages.is_empty() {
                true => M::SyncRequest(Height(1)),
                false => self.u.choose(&self.heard.messages)?.clone(),
            },
        })
    }
}

fn view_of(world: &World, node: usize) -> ViewId {
    let core = world.nodes[node].core.as_ref();
    core.map_or_else(ViewId::default, |core| core.status().at)
}

/// One step of the noise.
fn act(u: &mut Unstructured<'_>, world: &mut World, heard: &RefCell<Heard>) -> Result<()> {
    let node = u.int_in_range(0..=2)?;
    match u.int_in_range(0..=23)? {
        0..=4 => world.run_for(Duration::from_millis(u.int_in_range(0..=40)?)),
        5 => world.run_for(Duration::from_millis(u.int_in_range(0..=600)?)),
        6 => world.crash(node),
        7 | 8 => {
            if world.nodes[node].core.is_none() {
                world.boot(node);
            }
        }
        9 => world.step(node, Input::Tick),
        10 => world.step(node, Input::TipsChanged),
        11 => world.step(node, Input::DataArrived),
        12 => {
            let durable = world.nodes[node].disk.durable.0;
            let id = PersistId(u.int_in_range(0..=durable)?);
            world.step(node, Input::Persisted(id));
        }
        13 => {
            let epoch = Epoch(view_of(world, node).epoch.0 + u.int_in_range(0..=2)?);
            // What the shell would give at this time or another, but never a wrong committee.
            let committee = world.committee(epoch);
            world.step(node, Input::EpochReady(committee));
        }
        choice => {
            let at = view_of(world, node);
            let heard = heard.borrow();
            let mut liar = Liar {
                u,
                world,
                heard: &heard,
                at,
            };
            if choice == 14 {
                let page = vec![liar.synced(node)?, liar.synced(node)?];
                world.step(node, Input::Synced(page));
                return Ok(());
            }
            let message = liar.message(node)?;
            // Often the same to all, so that it may reach a quorum.
            let to = if u.ratio(1, 2)? { 0..3 } else { node..node + 1 };
            drop(heard);
            for node in to {
                let message = message.clone();
                world.step(
                    node,
                    Input::Message {
                        from: LIAR,
                        message,
                    },
                );
            }
        }
    }
    Ok(())
}

#[test]
fn a_faulty_operator_says_anything() {
    run_with("inputs of consensus", ENTROPY_BYTES, |u| {
        let mut setup = Setup::new(u.arbitrary()?, 4);
        setup.config = Config::new(Digest([9; 32]), u.int_in_range(2..=30)?);
        setup.loss_percent = *u.choose(&[0, 0, 5, 20])?;
        let mut world = World::start(setup);
        world.crash(FAULTY);
        let heard = Rc::new(RefCell::new(Heard::default()));
        let ear = heard.clone();
        world.filter = Some(Box::new(move |_, to, message| {
            if to == FAULTY {
                ear.borrow_mut().hear(message);
            }
            false
        }));
        for _ in 0..u.int_in_range(1..=200)? {
            if u.is_empty() {
                break;
            }
            act(u, &mut world, &heard)?;
        }
        for node in 0..3 {
            if world.nodes[node].core.is_none() {
                world.boot(node);
            }
        }
        world.setup.loss_percent = 0;
        let goal = world.height_max() + 4;
        world.run_until(
            "three honest ones go on",
            Duration::from_secs(120),
            |world| (0..3).all(|node| world.height(node) >= goal),
        );
        for (_, evidence) in &world.evidence {
            assert_eq!(evidence.operator(), LIAR, "{evidence:?}");
        }
        Ok(true)
    });
}

/// What a replica reads back after a crash, from a store that lies.
#[test]
fn safety_records() {
    let mut world = World::start(Setup::new(5, 4));
    world.run_for(Duration::from_secs(2));
    let valid: Vec<_> = world.nodes[0].disk.values().cloned().collect();
    assert!(valid.len() > 2);
    run("safety records", |u| {
        let input = hostile(u, &valid, damage)?;
        let read = bounded(Bound::PEER, input.len(), || {
            SafetyRecord::from_value(&input)
        });
        if let Ok(record) = &read {
            assert_eq!(record.value(), input);
        }
        Ok(read.is_ok())
    });
}
