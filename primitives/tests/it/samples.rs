//! One value of every type that is hashed or signed. All fields differ, so that two swapped ones show.

use bytes::Bytes;
use squad_primitives::certificate::CommitProof;
use squad_primitives::order::{OrderResult, RollupLeaf, order_root};
use squad_primitives::*;
use std::sync::Mutex;

pub(crate) fn digest(byte: u8) -> Digest {
    Digest([byte; 32])
}

pub(crate) fn network() -> NetworkId {
    digest(0xaa)
}

pub(crate) fn key(operator: u8) -> IdentityKey {
    IdentityKey::from_seed([operator + 1; 32])
}

/// Four members whose stakes differ.
pub(crate) fn committee() -> Committee {
    let members = (0..4)
        .map(|operator| Member {
            operator: OperatorId(u32::from(operator)),
            key: key(operator).public_key(),
            stake: Stake(100 + u64::from(operator)),
        })
        .collect();
    Committee::new(Epoch(3), members).unwrap()
}

pub(crate) fn at() -> ViewId {
    ViewId::new(Epoch(3), View(17))
}

pub(crate) fn tip(lane: u32) -> Tip {
    Tip {
        lane: OperatorId(lane),
        seq: BatchSeq(u64::from(lane) + 40),
        digest: digest(lane as u8 + 1),
    }
}

pub(crate) fn block() -> Block {
    Block {
        at: at(),
        height: Height(1_234),
        parent: BlockRef {
            hash: digest(0x11),
            at: ViewId::new(Epoch(3), View(16)),
        },
        timestamp_ms: 1_790_000_000_123,
        cut: Cut::new(vec![tip(0), tip(2), tip(3)]),
    }
}

pub(crate) fn statements() -> [(&'static str, Statement); 3] {
    let hash = block().hash(&network());
    [
        ("vote", Statement::vote(at(), hash)),
        ("timeout", Statement::timeout(at())),
        ("commit_vote", Statement::commit_vote(at(), hash)),
    ]
}

pub(crate) fn certificate(statement: Statement) -> Certificate {
    let votes: Vec<_> = [0, 1, 3]
        .map(|operator| {
            let signer = OperatorId(u32::from(operator));
            Vote::sign(&network(), statement, signer, &key(operator))
        })
        .into();
    Certificate::from_votes(&committee(), statement, &votes).unwrap()
}

/// A proof through one descendant.
pub(crate) fn commit_proof() -> CommitProof {
    let child = Block {
        at: at().next(),
        height: block().height.next(),
        parent: block().reference(&network()),
        ..block()
    };
    let statement = Statement::commit_vote(child.at, child.hash(&network()));
    CommitProof {
        certificate: certificate(statement),
        descendants: vec![child],
    }
}

pub(crate) fn proposal(signer: &dyn Signer) -> Proposal {
    let [(_, vote), ..] = statements();
    let justify = Some(certificate(vote));
    Proposal::sign(&network(), at(), block(), OperatorId(2), justify, signer)
}

pub(crate) fn header() -> BatchHeader {
    BatchHeader {
        epoch: Epoch(3),
        lane: OperatorId(2),
        seq: BatchSeq(41),
        parent: digest(0x21),
        body_root: digest(0x22),
        body_bytes: 65_537,
        tx_count: 513,
    }
}

pub(crate) fn ack(signer: &dyn Signer) -> Ack {
    Ack::sign(&network(), Epoch(3), tip(2), OperatorId(1), signer)
}

pub(crate) fn poa() -> Poa {
    let acks: Vec<_> = [1, 3]
        .map(|operator| {
            let signer = OperatorId(u32::from(operator));
            Ack::sign(&network(), Epoch(3), tip(2), signer, &key(operator))
        })
        .into();
    Poa::from_acks(&committee(), tip(2), &acks).unwrap()
}

pub(crate) fn transactions() -> [Transaction; 2] {
    [
        Transaction {
            rollup: RollupId(901),
            expiry: Height(1_500),
            kind: TxKind::Plain,
            payload: Bytes::from_static(b"plain payload"),
        },
        Transaction {
            rollup: RollupId(7),
            expiry: Height(1_600),
            kind: TxKind::Sealed,
            payload: Bytes::from_static(b"sealed"),
        },
    ]
}

pub(crate) fn batch() -> Batch {
    let mut builder = BatchBuilder::default();
    for transaction in transactions() {
        builder.push(transaction.id(&network()), &transaction);
    }
    builder.seal(&network(), Epoch(3), OperatorId(2), Some(tip(2)), &key(2))
}

pub(crate) fn leaves() -> [RollupLeaf; 2] {
    let ids = transactions().map(|transaction| transaction.id(&network()));
    [
        RollupLeaf::new(RollupId(7), 5, &ids[1..]),
        RollupLeaf::new(RollupId(901), 6, &ids[..1]),
    ]
}

pub(crate) fn result() -> OrderResult {
    OrderResult {
        epoch: Epoch(3),
        height: Height(1_234),
        block: block().hash(&network()),
        order_root: order_root(&network(), &leaves()),
        rollup_count: 2,
        tx_count: 9,
    }
}

/// A signer that keeps what it was asked to sign.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<Vec<u8>>);

impl Recorder {
    /// What `sign` signs.
    pub(crate) fn message<T>(sign: impl FnOnce(&dyn Signer) -> T) -> Vec<u8> {
        let recorder = Self::default();
        drop(sign(&recorder));
        recorder.0.into_inner().unwrap()
    }
}

impl Signer for Recorder {
    fn public_key(&self) -> PublicKey {
        PublicKey([0; 32])
    }

    fn sign(&self, message: &[u8]) -> Signature {
        *self.0.lock().unwrap() = message.into();
        Signature([0x5e; 64])
    }
}
