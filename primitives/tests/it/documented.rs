//! The rules by which a client in another language recomputes digests and checks signatures, as written
//! at the top of `squad/v1/types.proto`: followed here by hand, without the library's own helpers.

use crate::samples::*;
use squad_primitives::codec::Encode;
use squad_primitives::order::order_root;
use squad_primitives::{Digest, SignedHeader, domain, merkle};

fn text(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap();
    [&length.to_le_bytes(), text.as_bytes()].concat()
}

fn hash(parts: &[&[u8]]) -> Digest {
    Digest(*blake3::hash(&parts.concat()).as_bytes())
}

fn digest_of(tag: &str, encoding: &[u8]) -> Digest {
    hash(&[&text(tag), &network().0, encoding])
}

#[test]
fn a_digest_covers_tag_network_and_encoding() {
    let network = network();
    let expected = [
        (block().hash(&network), "squad/block/v1", block().to_bytes()),
        (
            header().digest(&network),
            "squad/batch/v1",
            header().to_bytes(),
        ),
        (
            leaves()[0].digest(&network),
            "squad/order/leaf/v1",
            leaves()[0].to_bytes(),
        ),
        (
            result().digest(&network),
            "squad/order/result/v1",
            result().to_bytes(),
        ),
    ];
    for (found, tag, encoding) in expected {
        assert_eq!(found, digest_of(tag, &encoding), "{tag}");
    }
}

#[test]
fn a_transaction_is_rollup_expiry_kind_payload() {
    for transaction in transactions() {
        let encoding = [
            &transaction.rollup.0.to_le_bytes()[..],
            &transaction.expiry.0.to_le_bytes(),
            &[transaction.kind as u8],
            &transaction.payload,
        ]
        .concat();
        assert_eq!(transaction.to_bytes(), encoding);
        assert_eq!(
            transaction.id(&network()),
            digest_of("squad/tx/v1", &encoding)
        );
    }
}

#[test]
fn a_batch_header_is_signed_as_epoch_and_tip() {
    let header = header();
    let signed = Recorder::message(|signer| SignedHeader::sign(&network(), header, signer));
    let expected = [
        &text("squad/ack/v1")[..],
        &network().0,
        &header.epoch.0.to_le_bytes(),
        &header.lane.0.to_le_bytes(),
        &header.seq.0.to_le_bytes(),
        &header.digest(&network()).0,
    ]
    .concat();
    assert_eq!(signed, expected);
}

#[test]
fn a_statement_is_signed_under_the_tag_of_its_kind() {
    let tags = [domain::VOTE, domain::TIMEOUT, domain::COMMIT_VOTE];
    for ((_, statement), tag) in statements().into_iter().zip(tags) {
        let expected = [
            &text(tag)[..],
            &network().0,
            &statement.at.epoch.0.to_le_bytes(),
            &statement.at.view.0.to_le_bytes(),
            &statement.block.0,
        ]
        .concat();
        assert_eq!(statement.message(&network()), expected, "{tag}");
    }
}

#[test]
fn a_root_binds_nodes_and_their_number() {
    let [a, b, c] = [1, 2, 3].map(digest);
    let pair = hash(&[&[1], &a.0, &b.0]);
    let top = hash(&[&[1], &pair.0, &c.0]);
    let root = hash(&[&[2], &top.0, &3_u32.to_le_bytes()]);
    assert_eq!(merkle::root(&[a, b, c]), root);

    let [left, right] = leaves().map(|leaf| leaf.digest(&network()));
    let top = hash(&[&[1], &left.0, &right.0]);
    let root = hash(&[&[2], &top.0, &2_u32.to_le_bytes()]);
    assert_eq!(order_root(&network(), &leaves()), root);
}
