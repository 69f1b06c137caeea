//! Operators with known keys, and their messages as the contract takes them.

use crate::chain::{Chain, Word};
use squad_mach::bls::Sum;
use squad_mach::guard::Prepared;
use squad_mach::{
    Admission, BlsSecretKey, Certificate, MachCommittee, MachMember, Possession, SignGuard,
    Signers, Statement,
};
use squad_primitives::{Digest, Epoch, Height, OperatorId, PublicKey, Stake};

pub(crate) const NETWORK: Digest = Digest([0x11; 32]);

pub(crate) struct Network {
    pub(crate) keys: Vec<BlsSecretKey>,
    pub(crate) committee: MachCommittee,
    pub(crate) possessions: Vec<Possession>,
}

impl Network {
    /// Operators `first`, `first + 1`, … with these stakes.
    pub(crate) fn new(epoch: u64, first: u32, stakes: &[u64]) -> Self {
        let numbers = || first..;
        let keys: Vec<_> = stakes
            .iter()
            .zip(numbers())
            .map(|(_, n)| secret(n))
            .collect();
        let admissions: Vec<_> = keys
            .iter()
            .zip(stakes)
            .zip(numbers())
            .map(|((key, stake), number)| Admission {
                member: MachMember {
                    operator: OperatorId(number),
                    identity: identity(number),
                    key: *key.public_key(),
                    stake: Stake(*stake),
                },
                possession: key.prove_possession(&identity(number)),
            })
            .collect();
        Self {
            possessions: admissions.iter().map(|a| a.possession).collect(),
            committee: MachCommittee::admit(Epoch(epoch), admissions).expect("legal"),
            keys,
        }
    }

    pub(crate) fn certify(&self, statement: Statement, members: &[u16]) -> Certificate {
        let mut sum = Sum::default();
        let mut signers = Signers::none(self.committee.size());
        for member in members {
            let key = &self.keys[usize::from(*member)];
            let mut guard = SignGuard::restore(key.public_key(), None).expect("no record");
            let Ok(Prepared::Record { ticket, .. }) = guard.prepare(*member, statement) else {
                panic!("a fresh guard refuses nothing above height 0");
            };
            let permit = guard.durable(ticket).expect("in flight");
            let signature = key.attest(&permit).signature.decode().expect("valid");
            sum.add(key.public_key(), &signature);
            signers.insert(*member);
        }
        Certificate {
            statement,
            signers,
            signature: sum.signature(),
        }
    }

    /// Proves possession of all keys to the contract; gas of the first proof.
    pub(crate) fn register(&self, chain: &mut Chain) -> u64 {
        let gas =
            self.committee
                .members()
                .iter()
                .zip(&self.possessions)
                .map(|(member, possession)| {
                    let arguments = registration(member, possession);
                    chain.call("register", &arguments).expect("registered")
                });
        gas.collect::<Vec<_>>()[0]
    }

    /// Registers all keys and makes this the first committee; gas of both.
    pub(crate) fn install(&self, chain: &mut Chain) -> (u64, u64) {
        let registered = self.register(chain);
        let mut arguments = vec![number(self.committee.epoch().0), number(64)];
        arguments.extend(members(self.committee.members()));
        let installed = chain.call("installGenesis", &arguments);
        (registered, installed.expect("installed"))
    }
}

fn secret(number: u32) -> BlsSecretKey {
    let mut material = [0x5a; 32];
    material[..4].copy_from_slice(&number.to_be_bytes());
    BlsSecretKey::from_entropy(&material).expect("32 bytes are enough")
}

fn identity(number: u32) -> PublicKey {
    let mut bytes = [0x1d; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    PublicKey(bytes)
}

pub(crate) fn statement(epoch: u64, height: u64) -> Statement {
    Statement {
        network: NETWORK,
        epoch: Epoch(epoch),
        height: Height(height),
        block: Digest([0x22; 32]),
        result_root: Digest([0x33; 32]),
    }
}

pub(crate) fn number(value: u64) -> Word {
    let mut word = [0; 32];
    word[24..].copy_from_slice(&value.to_be_bytes());
    word
}

pub(crate) fn words(bytes: &[u8]) -> Vec<Word> {
    bytes
        .chunks(32)
        .map(|chunk| chunk.try_into().expect("whole words"))
        .collect()
}

pub(crate) fn registration(member: &MachMember, possession: &Possession) -> Vec<Word> {
    let mut arguments = vec![member.identity.0];
    arguments.extend(words(&member.key.to_eip2537()));
    let proof = possession.0.decode().expect("a point");
    arguments.extend(words(&proof.to_eip2537()));
    arguments
}

/// A list of members: its length, then seven words each.
pub(crate) fn members(list: &[MachMember]) -> Vec<Word> {
    let mut arguments = vec![number(list.len() as u64)];
    for member in list {
        arguments.push(number(member.operator.0.into()));
        arguments.push(member.identity.0);
        arguments.extend(words(&member.key.to_eip2537()));
        arguments.push(number(member.stake.0));
    }
    arguments
}

/// Words of a certificate: seven of the statement and the signers, eight of the signature.
pub(crate) const CERTIFICATE_WORDS: usize = 15;

pub(crate) fn certificate(certificate: &Certificate) -> Vec<Word> {
    let statement = &certificate.statement;
    let mut signers = [0; 32];
    for member in certificate.signers.iter() {
        let member = usize::from(member);
        signers[31 - member / 8] |= 1 << (member % 8);
    }
    let mut arguments = vec![
        statement.network.0,
        number(statement.epoch.0),
        number(statement.height.0),
        statement.block.0,
        statement.result_root.0,
        number(certificate.signers.size().into()),
        signers,
    ];
    let signature = certificate.signature.decode().expect("a point");
    arguments.extend(words(&signature.to_eip2537()));
    assert_eq!(arguments.len(), CERTIFICATE_WORDS);
    arguments
}
