//! What must survive a crash, and how it is read back.
//!
//! The core asks for atomic writes of [`SafetyRecord`]s. Each has a key; a later record of one key
//! replaces the earlier one, so the records of a node are a small map:
//!
//! | key | value | written | deleted |
//! |---|---|---|---|
//! | `state` | [`SafetyState`] | with every own vote, timeout, commit vote, proposal and view entry | never |
//! | `cert/` epoch view kind | a QC or TC, or a CC that led into a view or ended an epoch | when it is verified or formed | [`Output::Forget`] |
//! | `block/` epoch view hash | a block that was proposed or voted for | with that vote | [`Output::Forget`] |
//!
//! Numbers in keys are big-endian, so byte order is (epoch, view) order and what a commit makes
//! useless is a range. The current view's entry certificate is the one of the view before, so the state
//! doesn't repeat it. Recovery hands all surviving records and the last committed block to
//! [`Recovered::from_records`]; nothing is replayed, because every record is a final value. Other commit
//! certificates are not records: they are stored with their blocks. The shell may store committed
//! blocks later than records, even by an epoch: then the blocks, still recorded here because
//! [`Output::Forget`] waits for them, are committed again.
//!
//! [`Output::Forget`]: crate::Output::Forget

use crate::KeyRange;
use squad_primitives::codec::{self, Decode, DecodeError, Encode, Reader};
use squad_primitives::{Block, Certificate, CommittedBlock, Digest, ViewId, canonical};

/// A view, and the block that this replica voted for in it. View 0 means "never".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Cast {
    /// View of the vote, which for a block proposed again is later than the block's own.
    pub at: ViewId,
    /// Hash of the block.
    pub block: Digest,
}

canonical!(Cast { at, block });

/// What this replica has bound itself to. Every field only ever moves forward.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SafetyState {
    /// Current view.
    pub at: ViewId,
    /// Highest view with an own proposal.
    pub proposed: ViewId,
    /// Highest view with an own vote, and the block voted for.
    pub voted: Cast,
    /// Highest view with an own timeout.
    pub timed_out: ViewId,
    /// Highest view with an own commit vote, and the block.
    pub commit_voted: Cast,
}

canonical!(SafetyState {
    at,
    proposed,
    voted,
    timed_out,
    commit_voted
});

/// One durable fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SafetyRecord {
    /// The promises of this replica; there is one such record.
    State(Box<SafetyState>),
    /// A QC or TC above the last committed view, or a CC that led into a view or ended an epoch.
    Certificate(Box<Certificate>),
    /// A block that this replica proposed or voted for.
    Block {
        /// Hash of the block.
        hash: Digest,
        /// The block.
        block: Box<Block>,
    },
}

const STATE_KEY: &[u8] = b"state";
const CERTIFICATE_PREFIX: &[u8] = b"cert/";
const BLOCK_PREFIX: &[u8] = b"block/";

fn view_key(prefix: &[u8], at: ViewId) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    key.extend_from_slice(prefix);
    key.extend_from_slice(&at.epoch.0.to_be_bytes());
    key.extend_from_slice(&at.view.0.to_be_bytes());
    key
}

impl SafetyRecord {
    /// Key under which the record is stored; see the module documentation.
    #[must_use]
    pub fn key(&self) -> Vec<u8> {
        match self {
            Self::State(_) => STATE_KEY.to_vec(),
            Self::Certificate(certificate) => {
                let mut key = view_key(CERTIFICATE_PREFIX, certificate.statement.at);
                key.push(certificate.statement.kind as u8);
                key
            }
            Self::Block { hash, block } => {
                let mut key = view_key(BLOCK_PREFIX, block.at);
                key.extend_from_slice(hash.as_bytes());
                key
            }
        }
    }

    /// Canonical encoding of the record, self-describing by its first byte.
    #[must_use]
    pub fn value(&self) -> Vec<u8> {
        self.to_bytes()
    }

    /// Reads a stored value back.
    ///
    /// # Errors
    /// The bytes are not a record: storage lies, and the node must not start.
    pub fn from_value(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode(bytes)
    }

    /// Keys of all certificates and blocks below `at`.
    pub(crate) fn below(at: ViewId) -> Vec<KeyRange> {
        [CERTIFICATE_PREFIX, BLOCK_PREFIX]
            .into_iter()
            .map(|prefix| KeyRange {
                start: prefix.to_vec(),
                end: view_key(prefix, at),
            })
            .collect()
    }
}

impl Encode for SafetyRecord {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::State(state) => {
                out.push(1);
                state.encode(out);
            }
            Self::Certificate(certificate) => {
                out.push(2);
                certificate.encode(out);
            }
            Self::Block { hash, block } => {
                out.push(3);
                hash.encode(out);
                block.encode(out);
            }
        }
    }
}

impl Decode for SafetyRecord {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::decode(reader)? {
            1 => Ok(Self::State(Box::new(Decode::decode(reader)?))),
            2 => Ok(Self::Certificate(Box::new(Decode::decode(reader)?))),
            3 => Ok(Self::Block {
                hash: Decode::decode(reader)?,
                block: Box::new(Decode::decode(reader)?),
            }),
            _ => Err(DecodeError::Illegal {
                field: "safety record",
            }),
        }
    }
}

/// Everything that a replica starts from.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// Promises; the default if none was ever stored.
    pub state: SafetyState,
    /// QCs, TCs, and CCs that led into a view or ended an epoch.
    pub certificates: Vec<Certificate>,
    /// Blocks proposed or voted for.
    pub blocks: Vec<Block>,
    /// Last block that the shell holds as committed; `None` before the first.
    pub committed: Option<CommittedBlock>,
}

impl Recovered {
    /// The start of a replica that never ran.
    #[must_use]
    pub fn genesis() -> Self {
        Self::default()
    }

    /// Sorts stored records by what they are.
    #[must_use]
    pub fn from_records(
        records: impl IntoIterator<Item = SafetyRecord>,
        committed: Option<CommittedBlock>,
    ) -> Self {
        let mut recovered = Self {
            committed,
            ..Self::default()
        };
        for record in records {
            match record {
                SafetyRecord::State(state) => recovered.state = *state,
                SafetyRecord::Certificate(certificate) => {
                    recovered.certificates.push(*certificate);
                }
                SafetyRecord::Block { block, .. } => recovered.blocks.push(*block),
            }
        }
        recovered
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squad_primitives::{BlockRef, Cut, Epoch, Height, Signature, SignerSet, Statement, View};

    fn at(epoch: u64, view: u64) -> ViewId {
        ViewId::new(Epoch(epoch), View(view))
    }

    fn records() -> [SafetyRecord; 3] {
        let state = SafetyState {
            at: at(1, 7),
            proposed: at(1, 5),
            voted: Cast {
                at: at(1, 6),
                block: Digest([0xab; 32]),
            },
            timed_out: at(1, 4),
            commit_voted: Cast {
                at: at(1, 6),
                block: Digest([0xab; 32]),
            },
        };
        let certificate = Certificate {
            statement: Statement::timeout(at(1, 2)),
            signers: SignerSet::from_bytes(&[0b111]).unwrap(),
            signatures: vec![Signature([1; 64]); 3],
        };
        let block = Block {
            at: at(1, 3),
            height: Height(9),
            parent: BlockRef {
                hash: Digest([2; 32]),
                at: at(1, 1),
            },
            timestamp_ms: 77,
            cut: Cut::default(),
        };
        [
            SafetyRecord::State(Box::new(state)),
            SafetyRecord::Certificate(Box::new(certificate)),
            SafetyRecord::Block {
                hash: Digest([3; 32]),
                block: Box::new(block),
            },
        ]
    }

    #[test]
    fn records_are_read_back_and_nothing_else_is() {
        for record in records() {
            let value = record.value();
            assert_eq!(SafetyRecord::from_value(&value), Ok(record));
            assert!(SafetyRecord::from_value(&value[..value.len() - 1]).is_err());
            let mut longer = value.clone();
            longer.push(0);
            assert!(SafetyRecord::from_value(&longer).is_err());
        }
        assert!(SafetyRecord::from_value(&[9]).is_err());
    }

    /// The stored form is part of the data directory's format: a change needs a new version of it.
    #[test]
    fn the_stored_form_is_pinned() {
        let [state, certificate, block] = records();
        let hex = |digest: &Digest| format!("{digest}")[2..18].to_owned();
        let tag = |record: &SafetyRecord| {
            let digest = Digest::of_parts("test/pin", &Digest::ZERO, &[&record.value()]);
            (record.value().len(), hex(&digest))
        };
        assert_eq!(state.key(), b"state");
        assert_eq!(
            certificate.key(),
            b"cert/\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\x02"
        );
        assert_eq!(
            block.key(),
            [
                b"block/\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x03".as_slice(),
                &[3; 32]
            ]
            .concat()
        );
        assert_eq!(tag(&state), (145, "870d59b3b06920e1".to_owned()));
        assert_eq!(tag(&certificate), (251, "c6245620c3d1a1c5".to_owned()));
        assert_eq!(tag(&block), (117, "fc9f5319ab316260".to_owned()));
    }

    #[test]
    fn what_a_commit_makes_useless_is_a_range() {
        let [state, certificate, block] = records();
        let forgotten = |record: &SafetyRecord, below: ViewId| {
            let key = record.key();
            SafetyRecord::below(below)
                .iter()
                .any(|range| key >= range.start && key < range.end)
        };
        assert!(!forgotten(&state, at(9, 9)));
        assert!(forgotten(&certificate, at(1, 3)) && !forgotten(&certificate, at(1, 2)));
        assert!(forgotten(&block, at(1, 4)) && !forgotten(&block, at(1, 3)));
        assert!(forgotten(&block, at(2, 0)));
    }
}
