//! A network with known keys.

use squad_mach::guard::Prepared;
use squad_mach::{
    Admission, Attestation, BlockResult, BlsSecretKey, Certificate, MachCommittee, MachMember,
    SignGuard, Signers, Statement, bls::Sum,
};
use squad_primitives::{Digest, Epoch, Height, OperatorId, PublicKey, Stake};

pub(crate) const NETWORK: Digest = Digest([0x11; 32]);

/// Members of an epoch with their secrets, by index.
pub(crate) struct Network {
    pub(crate) keys: Vec<BlsSecretKey>,
    pub(crate) committee: MachCommittee,
}

impl Network {
    /// Operators 0, 1, … with these stakes.
    pub(crate) fn new(epoch: u64, stakes: &[u64]) -> Self {
        let keys: Vec<_> = (0..stakes.len()).map(secret).collect();
        let admissions = admissions(&keys, stakes);
        Self {
            committee: MachCommittee::admit(Epoch(epoch), admissions).unwrap(),
            keys,
        }
    }

    pub(crate) fn attest(&self, member: u16, statement: Statement) -> Attestation {
        sign(&self.keys[usize::from(member)], member, statement)
    }

    /// A certificate by these members, whatever their stake.
    pub(crate) fn certify(&self, statement: Statement, members: &[u16]) -> Certificate {
        let mut sum = Sum::default();
        let mut signers = Signers::none(self.committee.size());
        for member in members {
            let signature = self.attest(*member, statement).signature.decode().unwrap();
            sum.add(&self.committee.at(*member).unwrap().key, &signature);
            signers.insert(*member);
        }
        Certificate {
            statement,
            signers,
            signature: sum.signature(),
        }
    }
}

pub(crate) fn secret(index: usize) -> BlsSecretKey {
    let mut material = [0x5a; 32];
    material[..8].copy_from_slice(&(index as u64).to_be_bytes());
    BlsSecretKey::from_entropy(&material).unwrap()
}

pub(crate) fn identity(index: usize) -> PublicKey {
    let mut bytes = [0x1d; 32];
    bytes[..8].copy_from_slice(&(index as u64).to_be_bytes());
    PublicKey(bytes)
}

pub(crate) fn admissions(keys: &[BlsSecretKey], stakes: &[u64]) -> Vec<Admission> {
    keys.iter()
        .zip(stakes)
        .enumerate()
        .map(|(index, (key, stake))| Admission {
            member: MachMember {
                operator: OperatorId(index as u32),
                identity: identity(index),
                key: *key.public_key(),
                stake: Stake(*stake),
            },
            possession: key.prove_possession(&identity(index)),
        })
        .collect()
}

/// Signs through a guard of its own, so that tests can play operators that contradict themselves.
pub(crate) fn sign(key: &BlsSecretKey, member: u16, statement: Statement) -> Attestation {
    let mut guard = SignGuard::restore(key.public_key(), None).unwrap();
    let Ok(Prepared::Record { ticket, .. }) = guard.prepare(member, statement) else {
        panic!("a fresh guard refuses nothing above height 0");
    };
    key.attest(&guard.durable(ticket).unwrap())
}

pub(crate) fn result(epoch: u64, height: u64) -> BlockResult {
    let digest = |tag: u8| {
        let mut bytes = [tag; 32];
        bytes[..8].copy_from_slice(&height.to_be_bytes());
        Digest(bytes)
    };
    BlockResult {
        network: NETWORK,
        epoch: Epoch(epoch),
        height: Height(height),
        block: digest(1),
        order_root: digest(2),
        opened_root: digest(3),
        ledger_root: digest(4),
        rollups_root: digest(5),
    }
}

pub(crate) fn statement(epoch: u64, height: u64) -> Statement {
    result(epoch, height).statement()
}

/// The same block with another result.
pub(crate) fn other_result(statement: Statement) -> Statement {
    Statement {
        result_root: Digest([0xee; 32]),
        ..statement
    }
}
