//! Each forgery is refused, with an error of its own.

use crate::world::World;
use prost::Message;
use squad_client::v1;
use squad_client::verify::attestation::{AttestationError, Attestations};
use squad_client::verify::chain::{Chain, ChainError};
use squad_client::verify::file::FileError;
use squad_client::verify::header::HeaderError;
use squad_client::verify::inclusion::InclusionError;
use squad_client::verify::receipt::ReceiptError;
use squad_client::verify::rollup::RollupError;
use squad_primitives::certificate::{CertificateError, CommitProof, CommitProofError};
use squad_primitives::{
    Digest, Height, OperatorId, RollupId, Signature, Stake, Statement, StatementKind,
};

fn flip(bytes: &bytes::Bytes, at: usize) -> bytes::Bytes {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes.into()
}

#[test]
fn every_honest_block_holds() {
    let world = World::with_blocks(30);
    let trusted = world.trusted();
    let mut chain = Chain::from_genesis(world.network);
    for height in 1..=30 {
        let header = trusted
            .verify_header(&world.header(height, 1, Some(7)))
            .unwrap();
        chain.extend(&header).unwrap();
        let entries = world.entries(height, Some(7), true, 2);
        let found = trusted
            .verify_rollup(&header, RollupId(7), &entries)
            .unwrap();
        let list = world.block(height).lists.get(&RollupId(7));
        assert_eq!(found.map(|block| block.transactions), list.cloned());
        let entries = world.entries(height, None, true, 2);
        let all = trusted.verify_all_rollups(&header, &entries).unwrap();
        assert_eq!(all.len(), world.block(height).lists.len());
    }
}

#[test]
fn forged_headers() {
    let world = World::with_blocks(3);
    let trusted = world.trusted();
    let check = |change: &dyn Fn(&mut v1::BlockHeader)| {
        let mut header = world.header(2, 0, None);
        change(&mut header);
        trusted.verify_header(&header).unwrap_err()
    };
    let commit = |header: &mut v1::BlockHeader, proof: CommitProof| {
        header.commit = Some((&proof).into());
    };
    let built = world.block(2);
    let statement = built.proof.certificate.statement;
    let proof = |certificate| CommitProof {
        certificate,
        descendants: Vec::new(),
    };

    assert!(matches!(
        check(&|h| h.hash = flip(&h.hash, 3)),
        HeaderError::Hash { .. }
    ));
    let two = world.certificate(statement, &[0, 1]);
    let (found, total) = (Stake(2), Stake(4));
    let no_quorum = CertificateError::NoQuorum { found, total };
    assert_eq!(
        check(&|h| commit(h, proof(two.clone()))),
        HeaderError::Commit(no_quorum.into())
    );
    let mut bad = world.certificate(statement, &[0, 1, 2]);
    bad.signatures[1].0[7] ^= 1;
    assert_eq!(
        check(&|h| commit(h, proof(bad.clone()))),
        HeaderError::Commit(CertificateError::BadSignature.into())
    );
    let votes = world.certificate(Statement::vote(statement.at, built.hash), &[0, 1, 2]);
    let kind = CertificateError::Kind {
        found: StatementKind::Vote,
        expected: StatementKind::CommitVote,
    };
    assert_eq!(
        check(&|h| commit(h, proof(votes.clone()))),
        HeaderError::Commit(kind.into())
    );
    assert_eq!(
        check(&|h| commit(h, world.block(3).proof.clone())),
        HeaderError::Commit(CommitProofError::OtherBlock)
    );
    let through_stranger = CommitProof {
        certificate: world.block(3).proof.certificate.clone(),
        descendants: vec![world.block(1).block.clone()],
    };
    assert_eq!(
        check(&|h| commit(h, through_stranger.clone())),
        HeaderError::Commit(CommitProofError::BrokenChain { index: 0 })
    );
    assert_eq!(
        check(&|h| h.result = world.header(3, 0, None).result),
        HeaderError::OtherResult { field: "block" }
    );
    assert_eq!(
        check(&|h| h.result.as_mut().unwrap().height = 3),
        HeaderError::OtherResult { field: "height" }
    );
    assert_eq!(
        check(&|h| h.result.as_mut().unwrap().epoch = 1),
        HeaderError::OtherResult { field: "epoch" }
    );
    assert!(matches!(
        check(&|h| h.commit = None),
        HeaderError::Malformed(_)
    ));
}

#[test]
fn a_certificate_of_a_descendant_is_enough() {
    let world = World::with_blocks(4);
    let mut header = world.header(2, 0, None);
    let proof = CommitProof {
        certificate: world.block(4).proof.certificate.clone(),
        descendants: vec![world.block(3).block.clone(), world.block(4).block.clone()],
    };
    header.commit = Some((&proof).into());
    assert_eq!(
        world.trusted().verify_header(&header).unwrap().height(),
        Height(2)
    );
}

#[test]
fn broken_chains() {
    let (world, mut other) = (World::with_blocks(6), World::with_blocks(1));
    for _ in 0..3 {
        other.add_block(Vec::new());
    }
    let trusted = world.trusted();
    let verified = |world: &World, height| {
        trusted
            .verify_header(&world.header(height, 0, None))
            .unwrap()
    };
    let mut chain = Chain::from_genesis(world.network);
    assert_eq!(
        chain.extend(&verified(&world, 2)),
        Err(ChainError::Height {
            expected: Height(1),
            found: Height(2)
        })
    );
    chain.extend(&verified(&world, 1)).unwrap();
    chain.extend(&verified(&world, 2)).unwrap();
    let before = chain.clone();
    assert_eq!(
        chain.extend(&verified(&other, 3)),
        Err(ChainError::Parent(Height(3)))
    );
    let mut header = world.header(3, 0, None);
    header.parent_cut.pop();
    let header = trusted.verify_header(&header).unwrap();
    assert_eq!(chain.extend(&header), Err(ChainError::ParentCut(Height(3))));
    assert_eq!(chain, before);
    chain.extend(&verified(&world, 3)).unwrap();
}

#[test]
fn forged_attestations() {
    let world = World::with_blocks(2);
    let result = world.block(1).result;
    let mut attestations = Attestations::new(&world.trusted(), result);
    let sign = |height: u64, operator: u32| {
        let result = world.block(height).result;
        result.attest(&world.network, &world.keys[operator as usize])
    };
    let not_enough = |found| {
        Err(AttestationError::NotEnough {
            found: Stake(found),
            total: Stake(4),
        })
    };
    assert_eq!(
        attestations.add(OperatorId(9), &sign(1, 0)),
        Err(AttestationError::Stranger(OperatorId(9)))
    );
    for forged in [sign(2, 1), sign(1, 0), Signature([0; 64])] {
        assert_eq!(
            attestations.add(OperatorId(1), &forged),
            Err(AttestationError::BadSignature(OperatorId(1)))
        );
    }
    assert_eq!(attestations.check(), not_enough(0));
    for _ in 0..3 {
        attestations.add(OperatorId(1), &sign(1, 1)).unwrap();
        assert_eq!(attestations.check(), not_enough(1));
    }
    attestations.add(OperatorId(3), &sign(1, 3)).unwrap();
    assert_eq!(attestations.check(), Ok(()));
}

/// Changes what came with block 4, which holds transactions of both rollups.
fn rollup_error(
    rollup: u64,
    change: impl FnOnce(&World, &mut v1::BlockHeader, &mut Vec<v1::RollupEntries>),
) -> RollupError {
    let world = World::with_blocks(8);
    let mut header = world.header(4, 0, Some(rollup));
    let mut entries = world.entries(4, Some(rollup), true, 2);
    change(&world, &mut header, &mut entries);
    let header = world.trusted().verify_header(&header).unwrap();
    let verified = world
        .trusted()
        .verify_rollup(&header, RollupId(rollup), &entries);
    verified.unwrap_err()
}

#[test]
fn forged_rollup_blocks() {
    use RollupError as E;
    assert_eq!(rollup_error(7, |_, h, _| h.rollup_proof = None), E::NoProof);
    let of = |height, rollup| {
        move |world: &World, header: &mut v1::BlockHeader, _: &mut Vec<_>| {
            header.rollup_proof = world.header(height, 0, Some(rollup)).rollup_proof;
        }
    };
    assert_eq!(rollup_error(7, of(1, 7)), E::BadProof);
    assert_eq!(rollup_error(7, of(4, 901)), E::BadProof);
    assert_eq!(rollup_error(7, of(4, 8)), E::BadProof);
    assert_eq!(
        rollup_error(7, |w, _, e| *e = w.entries(4, Some(901), true, 9)),
        E::OtherRollup(RollupId(901))
    );
    assert_eq!(
        rollup_error(8, |w, _, e| *e = {
            let mut entries = w.entries(4, Some(7), false, 9);
            entries[0].rollup_id = 8;
            entries
        }),
        E::ShouldBeEmpty
    );
    assert_eq!(rollup_error(7, |_, _, e| e.clear()), E::ListRoot);
    assert_eq!(rollup_error(7, |_, _, e| drop(e.pop())), E::ListRoot);
    assert_eq!(
        rollup_error(7, |_, _, e| drop(e.remove(0))),
        E::Position {
            expected: 0,
            found: 2
        }
    );
    assert_eq!(
        rollup_error(7, |_, _, e| e[0].rollup_block_number += 1),
        E::Number {
            found: 3,
            proven: 4
        }
    );
    assert_eq!(
        rollup_error(7, |_, _, e| e
            .iter_mut()
            .for_each(|e| e.rollup_block_number = 9)),
        E::Number {
            found: 9,
            proven: 3
        }
    );
    assert_eq!(
        rollup_error(7, |_, _, e| e[0].transactions.swap(0, 1)),
        E::OtherTransaction(0)
    );
    assert_eq!(
        rollup_error(7, |_, _, e| e[0].transactions[1] =
            flip(&e[0].transactions[1], 20)),
        E::OtherTransaction(1)
    );
    assert_eq!(
        rollup_error(7, |_, _, e| drop(e[0].transactions.pop())),
        E::TransactionCount {
            expected: 2,
            found: 1
        }
    );
    let swapped = rollup_error(7, |_, _, e| {
        let (a, b) = (e[0].tx_ids.slice(..32), e[0].tx_ids.slice(32..));
        e[0].tx_ids = [b, a].concat().into();
        e[0].transactions.swap(0, 1);
    });
    assert_eq!(swapped, E::ListRoot);
    let ragged = rollup_error(7, |_, _, e| e[0].tx_ids = e[0].tx_ids.slice(1..));
    assert!(matches!(ragged, E::Malformed(_)));
}

#[test]
fn a_whole_block_must_make_the_order_root() {
    let world = World::with_blocks(4);
    let trusted = world.trusted();
    let header = trusted.verify_header(&world.header(4, 0, None)).unwrap();
    let entries = world.entries(4, None, false, 2);
    let check = |entries: Vec<v1::RollupEntries>| trusted.verify_all_rollups(&header, &entries);
    assert!(check(entries.clone()).is_ok());
    let one_rollup = world.entries(4, Some(7), false, 2);
    assert_eq!(check(one_rollup), Err(RollupError::OrderRoot));
    let mut reversed = entries.clone();
    reversed.reverse();
    assert!(check(reversed).is_err());
    let mut shorter = entries;
    shorter.pop();
    assert_eq!(check(shorter), Err(RollupError::OrderRoot));
}

#[test]
fn forged_receipts() {
    let world = World::with_blocks(4);
    let (id, other) = (world.id_at(4, 7, 1), world.id_at(4, 7, 2));
    let trusted = world.trusted();
    let check = |receipt: v1::Receipt| trusted.verify_receipt(&receipt, id);
    let honest = world.receipt(id);
    assert_eq!(check(honest.clone()).unwrap().tx_id, id);
    assert_eq!(
        check(world.receipt(other)),
        Err(ReceiptError::OtherTransaction {
            found: other,
            expected: id
        })
    );
    let mut forged = honest.clone();
    forged.path = world.receipt(other).path;
    assert_eq!(check(forged), Err(ReceiptError::NotInBatch));
    let mut forged = honest.clone();
    forged
        .header
        .as_mut()
        .unwrap()
        .header
        .as_mut()
        .unwrap()
        .lane = 2;
    assert_eq!(check(forged), Err(ReceiptError::BadSignature));
    let mut forged = honest;
    forged.header.as_mut().unwrap().header.as_mut().unwrap().seq += 1;
    assert_eq!(check(forged), Err(ReceiptError::BadSignature));
}

#[test]
fn forged_inclusion_proofs() {
    use InclusionError as E;
    let world = World::with_blocks(9);
    let trusted = world.trusted();
    let (id, other) = (world.id_at(4, 7, 1), world.id_at(8, 7, 0));
    let honest = world.inclusion(id);
    let verified = trusted.verify_inclusion(&honest, id).unwrap();
    assert_eq!((verified.height, verified.position), (Height(4), 1));

    let check = |change: &dyn Fn(&mut v1::GetInclusionProofResponse)| {
        let mut forged = honest.clone();
        change(&mut forged);
        trusted.verify_inclusion(&forged, id).unwrap_err()
    };
    let elsewhere = world.inclusion(other);
    fn availability(p: &mut v1::GetInclusionProofResponse) -> &mut v1::AvailabilityProof {
        p.availability.as_mut().unwrap()
    }
    fn order(p: &mut v1::GetInclusionProofResponse) -> &mut v1::OrderProof {
        p.order.as_mut().unwrap()
    }
    assert_eq!(
        check(&|p| p.tx_id = elsewhere.tx_id.clone()),
        E::OtherTransaction
    );
    assert_eq!(
        check(&|p| availability(p).path = elsewhere.availability.as_ref().unwrap().path.clone()),
        E::NotInBatch
    );
    assert_eq!(check(&|p| availability(p).headers.clear()), E::NotInBatch);
    let foreign = world.inclusion(world.id_at(8, 7, 0)).availability.unwrap();
    assert_eq!(
        check(&|p| availability(p).headers.extend(
            foreign.headers.iter().take(0).cloned().chain(
                world
                    .inclusion(world.id_at(7, 7, 0))
                    .availability
                    .unwrap()
                    .headers
            )
        )),
        E::BrokenLane { index: 0 }
    );
    assert_eq!(
        check(&|p| {
            availability(p).block = foreign.block.clone();
            availability(p).commit = foreign.commit.clone();
        }),
        E::BrokenLane { index: 0 }
    );
    assert_eq!(
        check(&|p| availability(p).commit = foreign.commit.clone()),
        E::Commit(CommitProofError::OtherBlock)
    );
    assert_eq!(
        check(&|p| order(p).result = elsewhere.order.as_ref().unwrap().result.clone()),
        E::OtherBlock
    );
    assert_eq!(
        check(&|p| drop(order(p).attestations.pop())),
        E::Attestation(AttestationError::NotEnough {
            found: Stake(1),
            total: Stake(4)
        })
    );
    assert_eq!(
        check(&|p| order(p).attestations[1].operator_id = 3),
        E::Attestation(AttestationError::BadSignature(OperatorId(3)))
    );
    let same_block = world.inclusion(world.id_at(4, 901, 1));
    assert_eq!(
        check(&|p| order(p).leaf = elsewhere.order.as_ref().unwrap().leaf.clone()),
        E::NotInResult
    );
    assert_eq!(
        check(&|p| order(p).leaf = same_block.order.as_ref().unwrap().leaf.clone()),
        E::NotInList
    );
    let neighbour = world.inclusion(world.id_at(4, 7, 2));
    assert_eq!(
        check(&|p| order(p).position = neighbour.order.as_ref().unwrap().position.clone()),
        E::NotInList
    );
}

/// A transaction in an older batch of a lane is proven through the headers up to the tip.
#[test]
fn availability_through_later_batches_of_the_lane() {
    let world = World::with_blocks(8);
    let id = world.id_at(4, 7, 0);
    let mut proof = world.inclusion(id).availability.unwrap();
    let later = world.inclusion(world.id_at(8, 7, 0)).availability.unwrap();
    proof.headers.extend(later.headers);
    proof.block = later.block;
    proof.commit = later.commit;
    let block = world.trusted().verify_availability(&proof, id).unwrap();
    assert_eq!(block.height, Height(8));
}

#[test]
fn saved_bytes_are_checked_the_same_way() {
    let world = World::with_blocks(6);
    let trusted = world.trusted();
    let id = world.id_at(4, 7, 0);
    let block = world.block_response(4, 7).encode_to_vec();
    let (header, found) = trusted.verify_block_bytes(&block, RollupId(7)).unwrap();
    assert_eq!(header.height(), Height(4));
    assert!(found.unwrap().ids.contains(&id));
    let (_, none) = trusted
        .verify_block_bytes(&world.block_response(6, 7).encode_to_vec(), RollupId(7))
        .unwrap();
    assert_eq!(none, None);
    assert!(
        trusted
            .verify_receipt_bytes(&world.receipt(id).encode_to_vec(), id)
            .is_ok()
    );
    let proof = world.inclusion(id).encode_to_vec();
    assert_eq!(
        trusted.verify_inclusion_bytes(&proof, id).unwrap().number,
        3
    );
    let cut = trusted.verify_inclusion_bytes(&proof[..proof.len() - 1], id);
    assert!(matches!(cut, Err(FileError::Decode(_))));
    let empty = trusted.verify_block_bytes(&[], RollupId(7));
    assert_eq!(empty.unwrap_err(), FileError::NoHeader);
    let stranger = squad_client::TrustedNetwork::new(Digest([1; 32]), world.committee.clone());
    assert!(stranger.verify_inclusion_bytes(&proof, id).is_err());
}
