//! Bytes from strangers: no decoder of a hashed, signed or stored type panics or holds more memory than
//! its input justifies, and what one accepts is the only encoding of that value.

use crate::samples;
use bytes::Bytes;
use squad_fuzz::{Bound, Result, Unstructured, bounded, damage, damage_text, hostile, run};
use squad_primitives::batch::BatchLimits;
use squad_primitives::certificate::{CommitProof, DESCENDANTS_MAX};
use squad_primitives::codec::{Decode, Encode, decode};
use squad_primitives::genesis::{
    ConsensusParams, ExecutorKind, GENESIS_VERSION, Genesis, GenesisOperator, GenesisRollup,
    OrderPolicy, Params, SealedPolicy,
};
use squad_primitives::merkle::Path;
use squad_primitives::order::{OrderResult, RollupLeaf};
use squad_primitives::transaction::id_of_encoded;
use squad_primitives::*;

type Target = fn(&mut Unstructured<'_>, &[Vec<u8>]) -> Result<bool>;

/// Feeds damaged encodings to the decoder of `T`.
fn canonical<T: Encode + Decode>(u: &mut Unstructured<'_>, valid: &[Vec<u8>]) -> Result<bool> {
    let input = hostile(u, valid, damage)?;
    let decoded = bounded(Bound::PEER, input.len(), || decode::<T>(&input));
    if let Ok(value) = &decoded {
        assert_eq!(value.to_bytes(), input, "another encoding of one value");
    }
    Ok(decoded.is_ok())
}

/// One target over several types; each gets damaged encodings of all of them.
fn types(target: &str, decoders: &[Target], valid: &[Vec<u8>]) {
    run(target, |u| {
        let decoder = u.choose(decoders)?;
        decoder(u, valid)
    });
}

fn certificates() -> Vec<Certificate> {
    let statements = samples::statements().into_iter();
    statements
        .map(|(_, statement)| samples::certificate(statement))
        .collect()
}

#[test]
fn votes_and_certificates() {
    let mut valid: Vec<_> = certificates().iter().map(Encode::to_bytes).collect();
    for (_, statement) in samples::statements() {
        let vote = Vote::sign(
            &samples::network(),
            statement,
            OperatorId(1),
            &samples::key(1),
        );
        valid.extend([vote.to_bytes(), statement.to_bytes()]);
    }
    valid.push(samples::commit_proof().to_bytes());
    let decoders: [Target; 5] = [
        canonical::<Statement>,
        canonical::<Vote>,
        canonical::<SignerSet>,
        canonical::<Certificate>,
        canonical::<CommitProof>,
    ];
    types("votes and certificates", &decoders, &valid);
}

/// Found by the target above: a thousand blocks claimed in a list, and bytes for none, made the decoder
/// reserve room for all of them.
#[test]
fn a_claimed_length_reserves_no_more_than_twice_the_input() {
    let proof = CommitProof {
        descendants: Vec::new(),
        ..samples::commit_proof()
    };
    let mut bytes = proof.to_bytes();
    let length = bytes.len() - 4..;
    bytes[length].copy_from_slice(&(DESCENDANTS_MAX as u32).to_le_bytes());
    bytes.extend([0; 60]);
    let bound = Bound {
        factor: 2,
        slack: 1 << 10,
    };
    let refused = bounded(bound, bytes.len(), || decode::<CommitProof>(&bytes));
    assert!(refused.is_err());
}

#[test]
fn blocks_and_proposals() {
    let valid = [
        samples::block().to_bytes(),
        samples::block().cut.to_bytes(),
        samples::proposal(&samples::key(2)).to_bytes(),
        samples::commit_proof().to_bytes(),
    ];
    let decoders: [Target; 4] = [
        canonical::<Block>,
        canonical::<Cut>,
        canonical::<Proposal>,
        canonical::<CommitProof>,
    ];
    types("blocks and proposals", &decoders, &valid);
}

#[test]
fn lanes() {
    let valid = [
        samples::header().to_bytes(),
        samples::batch().signed().to_bytes(),
        samples::ack(&samples::key(1)).to_bytes(),
        samples::poa().to_bytes(),
    ];
    let decoders: [Target; 4] = [
        canonical::<BatchHeader>,
        canonical::<SignedHeader>,
        canonical::<Ack>,
        canonical::<Poa>,
    ];
    types("lanes", &decoders, &valid);
}

#[test]
fn results_and_paths() {
    let digests: Vec<_> = (0..33).map(samples::digest).collect();
    let mut valid = vec![samples::result().to_bytes()];
    valid.extend(samples::leaves().map(|leaf| leaf.to_bytes()));
    valid.extend([0, 5, 32].map(|index| Path::new(&digests, index).unwrap().to_bytes()));
    let decoders: [Target; 3] = [
        canonical::<OrderResult>,
        canonical::<RollupLeaf>,
        |u, valid| {
            let accepted = canonical::<Path>(u, valid)?;
            if let Ok(path) = decode::<Path>(&hostile(u, valid, damage)?) {
                bounded(Bound::PEER, 0, || path.root(&samples::digest(1)));
            }
            Ok(accepted)
        },
    ];
    types("results and paths", &decoders, &valid);
}

#[test]
fn transactions() {
    let valid = samples::transactions().map(|transaction| transaction.to_bytes());
    run("transactions", |u| {
        let input = Bytes::from(hostile(u, &valid, damage)?);
        let read = bounded(Bound::PEER, input.len(), || Transaction::read_from(&input));
        if let Ok(transaction) = &read {
            assert_eq!(transaction.to_bytes(), input);
            assert_eq!(transaction.encoded_len(), input.len());
            let network = samples::network();
            assert_eq!(transaction.id(&network), id_of_encoded(&network, &input));
        }
        Ok(read.is_ok())
    });
}

/// A header stands for one body only: whatever is done to it, another one is refused.
#[test]
fn batch_bodies_under_an_honest_header() {
    let batch = samples::batch();
    let valid = [batch.body().to_vec()];
    let limits = BatchLimits {
        body_bytes: 1 << 20,
        payload_bytes: 1 << 10,
    };
    run("batch bodies under an honest header", |u| {
        let input = Bytes::from(hostile(u, &valid, damage)?);
        let parsed = bounded(Bound::PEER, input.len(), || {
            Batch::parse(&samples::network(), *batch.signed(), input.clone(), &limits)
        });
        if parsed.is_ok() {
            assert_eq!(&input, batch.body());
        }
        Ok(parsed.is_ok())
    });
}

/// The owner of a lane may sign any header. What passes is read in full, within the limits.
#[test]
fn batch_bodies_under_a_hostile_header() {
    let limits = BatchLimits {
        body_bytes: 4 << 10,
        payload_bytes: 200,
    };
    run("batch bodies under a hostile header", |u| {
        let (header, body) = hostile_batch(u)?;
        let signed = SignedHeader {
            header,
            signature: Signature([1; 64]),
        };
        let parsed = bounded(Bound::PEER, body.len(), || {
            Batch::parse(&samples::network(), signed, body.clone(), &limits)
        });
        let Ok(batch) = parsed else {
            return Ok(false);
        };
        assert!(body.len() <= limits.body_bytes);
        let mut rebuilt = BatchBuilder::default();
        for (index, id) in batch.ids().iter().enumerate() {
            let transaction = batch.transaction(index).unwrap();
            assert_eq!(transaction.id(&samples::network()), *id);
            assert!(transaction.payload.len() <= limits.payload_bytes);
            let meta = batch.meta(index).unwrap();
            assert_eq!(
                (meta.rollup, meta.expiry, meta.kind),
                (transaction.rollup, transaction.expiry, transaction.kind)
            );
            rebuilt.push(*id, &transaction);
        }
        assert!(batch.transaction(batch.ids().len()).is_none());
        let again = rebuilt.seal(
            &samples::network(),
            header.epoch,
            header.lane,
            None,
            &samples::key(2),
        );
        assert_eq!(again.body(), &body, "another body for the same list");
        Ok(true)
    });
}

/// Transactions, perhaps an offset changed, and a header with the lengths and the root that the
/// table claims, so that only what is really wrong is refused.
fn hostile_batch(u: &mut Unstructured<'_>) -> Result<(BatchHeader, Bytes)> {
    let count = u.int_in_range(1..=12_u32)?;
    let mut table = Vec::new();
    let mut content = Vec::new();
    for _ in 0..count {
        let payload_bytes = u.int_in_range(0..=220)?;
        Transaction {
            rollup: RollupId(u.int_in_range(0..=3)?),
            expiry: Height(u.arbitrary()?),
            kind: TxKind::Plain,
            payload: vec![u.arbitrary()?; payload_bytes].into(),
        }
        .write_to(&mut content);
        let end = match u.int_in_range(0..=60)? {
            0 => u.arbitrary()?,
            1 => content.len() as u32 + 1,
            2 => content.len() as u32 - 1,
            _ => content.len() as u32,
        };
        table.push(end);
    }
    let mut ids = Vec::new();
    let mut start = 0;
    for end in &table {
        let encoded = content.get(start..*end as usize).unwrap_or_default();
        ids.push(id_of_encoded(&samples::network(), encoded));
        start = *end as usize;
    }
    let mut body: Vec<u8> = table.iter().flat_map(|end| end.to_le_bytes()).collect();
    body.extend(content);
    let header = BatchHeader {
        body_root: merkle::root(&ids),
        body_bytes: body.len() as u32,
        tx_count: match u.int_in_range(0..=40)? {
            0 => u.arbitrary()?,
            1 => count + 1,
            _ => count,
        },
        ..samples::header()
    };
    Ok((header, body.into()))
}

#[test]
fn genesis() {
    let genesis = genesis_of_four();
    let valid = [
        serde_json::to_vec_pretty(&genesis).unwrap(),
        genesis.to_canonical_json().into_bytes(),
    ];
    Genesis::from_json(&valid[0]).expect("legal");
    // Values of one byte become fields of many, and each problem is named in a sentence.
    let bound = Bound {
        factor: 16,
        slack: 64 << 10,
    };
    run("genesis", |u| {
        let input = hostile(u, &valid, damage_text)?;
        let read = bounded(bound, input.len(), || Genesis::from_json(&input));
        if let Ok(genesis) = &read {
            let json = genesis.to_canonical_json();
            let again = Genesis::from_json(json.as_bytes()).expect("the canonical form is legal");
            assert_eq!(&again, genesis);
            assert_eq!(again.to_canonical_json(), json);
            assert_eq!(again.network_id(), genesis.network_id());
            genesis.committee(Epoch(0)).expect("validated");
        }
        Ok(read.is_ok())
    });
}

fn genesis_of_four() -> Genesis {
    let operator = |index: u8| GenesisOperator {
        name: format!("op-{index}"),
        identity: samples::key(index).public_key(),
        stake: Stake(1 << 60),
        address: ([10, 0, 0, index], 4100).into(),
        finality: None,
        control: (index == 0).then(|| "/ip4/10.0.0.1/tcp/4101".to_owned()),
    };
    let rollup = |id, executor, chain_id| GenesisRollup {
        id: RollupId(id),
        name: format!("rollup-{id}"),
        executor,
        chain_id,
        order: OrderPolicy::Shuffle,
        sealed: SealedPolicy::None,
    };
    Genesis {
        version: GENESIS_VERSION,
        network: "fuzz-dev".to_owned(),
        dev: true,
        genesis_time_ms: 1_790_000_000_000,
        params: Params {
            epoch_length_blocks: 20_000,
        },
        consensus: ConsensusParams::default(),
        operators: (0..4).map(operator).collect(),
        rollups: vec![
            rollup(901, ExecutorKind::Evm, Some(901)),
            rollup(7, ExecutorKind::Kv, None),
        ],
    }
}
