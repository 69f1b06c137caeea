//! A small network in memory: four operators with real keys, and a chain of blocks with real
//! certificates, results and proofs.

use bytes::Bytes;
use squad_client::{TrustedNetwork, v1};
use squad_primitives::certificate::{Certificate, CommitProof};
use squad_primitives::order::{LeafProof, RollupLeaf, RollupProof, order_root};
use squad_primitives::{
    Batch, BatchBuilder, BatchHeader, Block, BlockRef, Committee, Cut, Digest, Epoch, Height,
    IdentityKey, Member, OperatorId, RollupId, Signer, Stake, Statement, Tip, Transaction, TxId,
    TxKind, View, ViewId, Vote, merkle::Path, order::OrderResult,
};
use squad_proto::convert::{cut_tips, digests_packed};
use std::collections::BTreeMap;

pub(crate) const OPERATORS: u32 = 4;

/// A committed block with everything that follows from it.
#[derive(Clone, Debug)]
pub(crate) struct BuiltBlock {
    pub(crate) block: Block,
    pub(crate) hash: Digest,
    pub(crate) parent_cut: Cut,
    pub(crate) proof: CommitProof,
    pub(crate) result: OrderResult,
    pub(crate) leaves: Vec<RollupLeaf>,
    pub(crate) lists: BTreeMap<RollupId, Vec<Transaction>>,
    pub(crate) batch: Option<Batch>,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) network: Digest,
    pub(crate) keys: Vec<IdentityKey>,
    pub(crate) committee: Committee,
    pub(crate) blocks: Vec<BuiltBlock>,
    /// Where a transaction was ordered: height and position in its rollup's list.
    pub(crate) places: BTreeMap<TxId, (u64, RollupId, usize)>,
    tips: BTreeMap<OperatorId, Tip>,
    numbers: BTreeMap<RollupId, u64>,
}

impl World {
    pub(crate) fn new() -> Self {
        let keys: Vec<_> = (0..OPERATORS)
            .map(|i| IdentityKey::from_seed([i as u8 + 1; 32]))
            .collect();
        let members = keys.iter().zip(0..).map(|(key, i)| Member {
            operator: OperatorId(i),
            key: key.public_key(),
            stake: Stake(1),
        });
        Self {
            network: Digest([9; 32]),
            committee: Committee::new(Epoch(0), members.collect()).unwrap(),
            keys,
            blocks: Vec::new(),
            places: BTreeMap::new(),
            tips: BTreeMap::new(),
            numbers: BTreeMap::new(),
        }
    }

    /// A chain of `count` blocks with transactions of rollups 7 and 901; every third has none of 7,
    /// every fifth is empty.
    pub(crate) fn with_blocks(count: u64) -> Self {
        let mut world = Self::new();
        for height in 1..=count {
            let mut transactions = Vec::new();
            if height % 5 != 0 {
                for n in 0..3 + height % 4 {
                    transactions.push(transaction(901, height, n));
                    if height % 3 != 0 {
                        transactions.push(transaction(7, height, n));
                    }
                }
            }
            world.add_block(transactions);
        }
        world
    }

    pub(crate) fn trusted(&self) -> TrustedNetwork {
        TrustedNetwork::new(self.network, self.committee.clone())
    }

    pub(crate) fn head(&self) -> u64 {
        self.blocks.len() as u64
    }

    pub(crate) fn block(&self, height: u64) -> &BuiltBlock {
        &self.blocks[height as usize - 1]
    }

    /// Orders transactions in a block of their own, one batch of one lane.
    pub(crate) fn add_block(&mut self, transactions: Vec<Transaction>) -> u64 {
        let height = self.head() + 1;
        let parent = self.blocks.last();
        let parent_ref = parent.map_or(BlockRef::genesis(self.network), |p| {
            p.block.reference(&self.network)
        });
        let parent_cut = parent.map_or_else(Cut::default, |p| p.block.cut.clone());
        let lane = OperatorId((height % u64::from(OPERATORS)) as u32);
        let batch = (!transactions.is_empty()).then(|| self.batch(lane, &transactions));
        let mut cut = parent_cut.clone();
        if let Some(batch) = &batch {
            self.tips.insert(lane, batch.tip());
            cut.set(batch.tip());
        }
        let at = ViewId::new(Epoch(0), View(height));
        let block = Block {
            at,
            height: Height(height),
            parent: parent_ref,
            timestamp_ms: 1_000 * height,
            cut,
        };
        let hash = block.hash(&self.network);
        let mut lists: BTreeMap<RollupId, Vec<Transaction>> = BTreeMap::new();
        for transaction in transactions {
            let list = lists.entry(transaction.rollup).or_default();
            let place = (height, transaction.rollup, list.len());
            self.places.insert(transaction.id(&self.network), place);
            list.push(transaction);
        }
        let leaves = self.leaves(&lists);
        let result = OrderResult {
            epoch: Epoch(0),
            height: Height(height),
            block: hash,
            order_root: order_root(&self.network, &leaves),
            rollup_count: leaves.len() as u32,
            tx_count: lists.values().map(|list| list.len() as u32).sum(),
        };
        self.blocks.push(BuiltBlock {
            proof: CommitProof {
                certificate: self.certificate(Statement::commit_vote(at, hash), &[0, 1, 2]),
                descendants: Vec::new(),
            },
            block,
            hash,
            parent_cut,
            result,
            leaves,
            lists,
            batch,
        });
        height
    }

    fn batch(&self, lane: OperatorId, transactions: &[Transaction]) -> Batch {
        let mut builder = BatchBuilder::default();
        for transaction in transactions {
            builder.push(transaction.id(&self.network), transaction);
        }
        let parent = self.tips.get(&lane).copied();
        let key = &self.keys[lane.0 as usize];
        builder.seal(&self.network, Epoch(0), lane, parent, key)
    }

    fn leaves(&mut self, lists: &BTreeMap<RollupId, Vec<Transaction>>) -> Vec<RollupLeaf> {
        let leaf = |(rollup, list): (&RollupId, &Vec<Transaction>)| {
            let number = self.numbers.entry(*rollup).or_default();
            *number += 1;
            let ids: Vec<_> = list.iter().map(|tx| tx.id(&self.network)).collect();
            RollupLeaf::new(*rollup, *number, &ids)
        };
        lists.iter().map(leaf).collect()
    }

    /// A statement signed by some operators, whether they are a quorum or not.
    pub(crate) fn certificate(&self, statement: Statement, signers: &[u32]) -> Certificate {
        let votes: Vec<Vote> = (0..OPERATORS)
            .map(|i| {
                let key = &self.keys[i as usize];
                Vote::sign(&self.network, statement, OperatorId(i), key)
            })
            .collect();
        let parts = signers.iter().map(|i| {
            let vote = &votes[*i as usize];
            (vote.signer, vote.signature)
        });
        let (signers, signatures) = squad_primitives::SignerSet::collect(&self.committee, parts);
        Certificate {
            statement,
            signers,
            signatures,
        }
    }

    pub(crate) fn attestation(&self, result: &OrderResult, operator: u32) -> v1::Attestation {
        let signature = result.attest(&self.network, &self.keys[operator as usize]);
        v1::Attestation::from(&(OperatorId(operator), signature))
    }

    /// The header as one operator serves it: with its own attestation only.
    pub(crate) fn header(
        &self,
        height: u64,
        operator: u32,
        rollup: Option<u64>,
    ) -> v1::BlockHeader {
        let built = self.block(height);
        v1::BlockHeader {
            hash: built.hash.0.to_vec().into(),
            block: Some((&built.block).into()),
            parent_cut: cut_tips(&built.parent_cut),
            commit: Some((&built.proof).into()),
            result: Some((&built.result).into()),
            attestations: vec![self.attestation(&built.result, operator)],
            rollup_proof: rollup.map(|rollup| {
                let rollup = RollupId(rollup);
                (&RollupProof::new(&self.network, &built.leaves, rollup)).into()
            }),
        }
    }

    /// Entries of a block, cut into pieces of at most `piece` transactions.
    pub(crate) fn entries(
        &self,
        height: u64,
        rollup: Option<u64>,
        payloads: bool,
        piece: usize,
    ) -> Vec<v1::RollupEntries> {
        let built = self.block(height);
        let mut entries = Vec::new();
        for (leaf, (id, list)) in built.leaves.iter().zip(&built.lists) {
            if rollup.is_some_and(|rollup| rollup != id.0) {
                continue;
            }
            for (index, part) in list.chunks(piece).enumerate() {
                let ids: Vec<_> = part.iter().map(|tx| tx.id(&self.network)).collect();
                let encode = |tx: &Transaction| {
                    let mut out = Vec::new();
                    tx.write_to(&mut out);
                    Bytes::from(out)
                };
                let transactions = part.iter().filter(|_| payloads).map(encode);
                entries.push(v1::RollupEntries {
                    rollup_id: id.0,
                    rollup_block_number: leaf.number,
                    first_position: (index * piece) as u32,
                    tx_ids: digests_packed(&ids),
                    transactions: transactions.collect(),
                });
            }
        }
        entries
    }

    pub(crate) fn block_response(&self, height: u64, rollup: u64) -> v1::GetBlockResponse {
        v1::GetBlockResponse {
            header: Some(self.header(height, 0, Some(rollup))),
            entries: self.entries(height, Some(rollup), true, 100),
            ..v1::GetBlockResponse::default()
        }
    }

    pub(crate) fn receipt(&self, id: TxId) -> v1::Receipt {
        let (height, ..) = self.places[&id];
        let batch = self.block(height).batch.as_ref().unwrap();
        let index = batch.ids().iter().position(|other| *other == id).unwrap();
        let header = squad_primitives::SignedHeader::sign(
            &self.network,
            *batch.header(),
            &self.keys[batch.header().lane.0 as usize],
        );
        v1::Receipt {
            tx_id: id.0.to_vec().into(),
            header: Some((&header).into()),
            path: Some((&Path::new(batch.ids(), index).unwrap()).into()),
        }
    }

    /// Proof of a transaction's place, its batch `lag` batches below the lane's tip at that block.
    pub(crate) fn inclusion(&self, id: TxId) -> v1::GetInclusionProofResponse {
        let (height, rollup, position) = self.places[&id];
        let built = self.block(height);
        let batch = built.batch.as_ref().unwrap();
        let in_batch = batch.ids().iter().position(|other| *other == id).unwrap();
        let leaf = built
            .leaves
            .iter()
            .position(|leaf| leaf.rollup == rollup)
            .unwrap();
        let digests: Vec<_> = built
            .leaves
            .iter()
            .map(|l| l.digest(&self.network))
            .collect();
        let list = &built.lists[&rollup];
        let ids: Vec<_> = list.iter().map(|tx| tx.id(&self.network)).collect();
        let header: &BatchHeader = batch.header();
        v1::GetInclusionProofResponse {
            tx_id: id.0.to_vec().into(),
            position: Some(v1::Position {
                height,
                rollup_id: rollup.0,
                position: position as u32,
            }),
            availability: Some(v1::AvailabilityProof {
                block: Some((&built.block).into()),
                commit: Some((&built.proof).into()),
                headers: vec![header.into()],
                path: Some((&Path::new(batch.ids(), in_batch).unwrap()).into()),
            }),
            order: Some(v1::OrderProof {
                result: Some((&built.result).into()),
                attestations: vec![
                    self.attestation(&built.result, 0),
                    self.attestation(&built.result, 2),
                ],
                leaf: Some(
                    (&LeafProof {
                        leaf: built.leaves[leaf],
                        path: Path::new(&digests, leaf).unwrap(),
                    })
                        .into(),
                ),
                position: Some((&Path::new(&ids, position).unwrap()).into()),
            }),
        }
    }

    pub(crate) fn id_at(&self, height: u64, rollup: u64, position: usize) -> TxId {
        self.block(height).lists[&RollupId(rollup)][position].id(&self.network)
    }
}

pub(crate) fn transaction(rollup: u64, height: u64, n: u64) -> Transaction {
    Transaction {
        rollup: RollupId(rollup),
        expiry: Height(height + 256),
        kind: TxKind::Plain,
        payload: Bytes::from(format!("{rollup}/{height}/{n}")),
    }
}
