//! A rollup's part of a block: complete, in order, and with the payloads that belong to it.

use super::header::VerifiedHeader;
use crate::{TrustedNetwork, v1};
use bytes::Bytes;
use squad_primitives::order::{RollupLeaf, RollupProof, order_root};
use squad_primitives::transaction::id_of_encoded;
use squad_primitives::{Height, RollupId, Transaction, TxId, codec::DecodeError, merkle};
use squad_proto::convert::{ConvertError, digests_unpacked};

/// Most transactions in one block: 16 MiB of bodies, each at least 17 bytes.
const BLOCK_TRANSACTIONS_MAX: usize = 1 << 20;

/// All transactions of one rollup in one block, under the block's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollupBlock {
    /// The rollup.
    pub rollup: RollupId,
    /// Height of the block.
    pub height: Height,
    /// Number of the rollup's block, from 1.
    pub number: u64,
    /// Ids, in order.
    pub ids: Vec<TxId>,
    /// The transactions of `ids`; empty if they were not asked for.
    pub transactions: Vec<Transaction>,
}

/// Why a rollup's part of a block proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RollupError {
    /// A field is missing or malformed.
    #[error("rollup block: {0}")]
    Malformed(#[from] ConvertError),
    /// No proof came with the block.
    #[error("rollup block: the proof is missing")]
    NoProof,
    /// The proof does not lead to the result's root.
    #[error("rollup block: the proof does not hold under the result")]
    BadProof,
    /// Entries of a rollup that was not asked for, or out of order.
    #[error("rollup block: entries of rollup {0} do not belong here")]
    OtherRollup(RollupId),
    /// The proof says that there are none.
    #[error("rollup block: entries came with a proof of absence")]
    ShouldBeEmpty,
    /// Entries don't follow each other.
    #[error("rollup block: position {found} came where {expected} was due")]
    Position {
        /// Position that was due.
        expected: usize,
        /// Position that came.
        found: usize,
    },
    /// The rollup's block number differs between entries and proof.
    #[error("rollup block: number {found}, proven is {proven}")]
    Number {
        /// Number in the entries.
        found: u64,
        /// Number in the proof, or in the first entries.
        proven: u64,
    },
    /// The ids are not those of the list that was proven: some are missing, added or moved.
    #[error("rollup block: the ids are not those under the proven root")]
    ListRoot,
    /// Not one transaction per id.
    #[error("rollup block: {found} transactions for {expected} ids")]
    TransactionCount {
        /// Number of ids.
        expected: usize,
        /// Number of transactions.
        found: usize,
    },
    /// A transaction is not the one that was ordered.
    #[error("rollup block: transaction {0} has another id")]
    OtherTransaction(usize),
    /// A transaction can't be decoded, although its id fits.
    #[error("rollup block: transaction {index}: {error}")]
    Transaction {
        /// Position of the transaction.
        index: usize,
        /// What is wrong.
        error: DecodeError,
    },
    /// All lists together don't make the result's root or counts.
    #[error("block: its lists do not make the order root of the result")]
    OrderRoot,
}

impl TrustedNetwork {
    /// Checks one rollup's part of a block that was asked for with that rollup. `None`: the rollup has
    /// no transactions in it, and that is proven.
    ///
    /// # Errors
    /// See [`RollupError`].
    pub fn verify_rollup(
        &self,
        header: &VerifiedHeader,
        rollup: RollupId,
        entries: &[v1::RollupEntries],
    ) -> Result<Option<RollupBlock>, RollupError> {
        let proof = header.rollup_proof().ok_or(RollupError::NoProof)?;
        let proof = RollupProof::try_from(proof)?;
        if !proof.verify(&self.id(), header.result(), rollup) {
            return Err(RollupError::BadProof);
        }
        let lists = self.lists(header.height(), entries)?;
        if let Some(other) = lists.iter().find(|list| list.rollup != rollup) {
            return Err(RollupError::OtherRollup(other.rollup));
        }
        let list = lists.into_iter().next();
        match (proof, list) {
            (RollupProof::Absent { .. }, None) => Ok(None),
            (RollupProof::Absent { .. }, Some(_)) => Err(RollupError::ShouldBeEmpty),
            (RollupProof::Present(_), None) => Err(RollupError::ListRoot),
            (RollupProof::Present(proof), Some(list)) => {
                if list.number != proof.leaf.number {
                    return Err(RollupError::Number {
                        found: list.number,
                        proven: proof.leaf.number,
                    });
                }
                // The root binds the number of its leaves, and so does `tx_count`.
                if list.leaf() != proof.leaf {
                    return Err(RollupError::ListRoot);
                }
                Ok(Some(list))
            }
        }
    }

    /// Checks the whole block: all rollups with all their transactions, ascending by rollup.
    ///
    /// # Errors
    /// See [`RollupError`].
    pub fn verify_all_rollups(
        &self,
        header: &VerifiedHeader,
        entries: &[v1::RollupEntries],
    ) -> Result<Vec<RollupBlock>, RollupError> {
        let lists = self.lists(header.height(), entries)?;
        let leaves: Vec<RollupLeaf> = lists.iter().map(RollupBlock::leaf).collect();
        let result = header.result();
        let tx_count: usize = lists.iter().map(|list| list.ids.len()).sum();
        let same = order_root(&self.id(), &leaves) == result.order_root
            && leaves.len() == result.rollup_count as usize
            && tx_count == result.tx_count as usize;
        same.then_some(lists).ok_or(RollupError::OrderRoot)
    }

    /// Joins entries into one list per rollup, and checks payloads against ids.
    fn lists(
        &self,
        height: Height,
        entries: &[v1::RollupEntries],
    ) -> Result<Vec<RollupBlock>, RollupError> {
        let mut lists: Vec<RollupBlock> = Vec::new();
        for part in entries {
            let rollup = RollupId(part.rollup_id);
            let ids = digests_unpacked("tx_ids", BLOCK_TRANSACTIONS_MAX, &part.tx_ids)?;
            match lists.last().map(|list| list.rollup.cmp(&rollup)) {
                Some(std::cmp::Ordering::Greater) => return Err(RollupError::OtherRollup(rollup)),
                Some(std::cmp::Ordering::Equal) => {}
                Some(std::cmp::Ordering::Less) | None => lists.push(RollupBlock {
                    rollup,
                    height,
                    number: part.rollup_block_number,
                    ids: Vec::new(),
                    transactions: Vec::new(),
                }),
            }
            let Some(list) = lists.last_mut() else {
                continue;
            };
            if part.rollup_block_number != list.number {
                return Err(RollupError::Number {
                    found: part.rollup_block_number,
                    proven: list.number,
                });
            }
            if part.first_position as usize != list.ids.len() {
                return Err(RollupError::Position {
                    expected: list.ids.len(),
                    found: part.first_position as usize,
                });
            }
            if !part.transactions.is_empty() || !list.transactions.is_empty() {
                let first = list.ids.len();
                let parsed = self.transactions(first, rollup, &ids, &part.transactions)?;
                list.transactions.extend(parsed);
            }
            list.ids.extend(ids);
        }
        match lists
            .iter()
            .find(|list| !list.transactions.is_empty() && list.transactions.len() != list.ids.len())
        {
            None => Ok(lists),
            Some(list) => Err(RollupError::TransactionCount {
                expected: list.ids.len(),
                found: list.transactions.len(),
            }),
        }
    }

    fn transactions(
        &self,
        first: usize,
        rollup: RollupId,
        ids: &[TxId],
        encoded: &[Bytes],
    ) -> Result<Vec<Transaction>, RollupError> {
        if ids.len() != encoded.len() {
            return Err(RollupError::TransactionCount {
                expected: ids.len(),
                found: encoded.len(),
            });
        }
        let parse = |(index, (id, encoded)): (usize, (&TxId, &Bytes))| {
            let index = first + index;
            if id_of_encoded(&self.id(), encoded) != *id {
                return Err(RollupError::OtherTransaction(index));
            }
            let transaction = Transaction::read_from(encoded)
                .map_err(|error| RollupError::Transaction { index, error })?;
            match transaction.rollup == rollup {
                true => Ok(transaction),
                false => Err(RollupError::OtherRollup(transaction.rollup)),
            }
        };
        ids.iter().zip(encoded).enumerate().map(parse).collect()
    }
}

impl RollupBlock {
    /// The leaf of this list in the order tree.
    fn leaf(&self) -> RollupLeaf {
        RollupLeaf {
            rollup: self.rollup,
            number: self.number,
            tx_count: u32::try_from(self.ids.len()).unwrap_or(u32::MAX),
            list_root: merkle::root(&self.ids),
        }
    }
}
