//! Pins every encoding, digest and signed message. A change of `fixtures.txt` breaks the network and
//! everything stored: it goes with a new version in the domain tag, in a commit of its own.

use crate::samples::*;
use squad_primitives::codec::{self, Decode, Encode};
use squad_primitives::order::{order_root, order_seed};
use squad_primitives::{Cut, Digest, SignedHeader, Signer, merkle};
use std::fmt::{Debug, Write};

const PINNED: &str = include_str!("fixtures.txt");

/// Collects lines "name hex".
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn bytes(&mut self, name: &str, bytes: impl AsRef<[u8]>) {
        writeln!(self.0, "{name} {}", hex::encode(bytes)).unwrap();
    }

    /// Pins an encoding, which must read back as the same value.
    fn encoding<T: Encode + Decode + PartialEq + Debug>(&mut self, name: &str, value: &T) {
        let bytes = value.to_bytes();
        assert_eq!(codec::decode::<T>(&bytes).as_ref(), Ok(value), "{name}");
        self.bytes(&format!("{name}.encoding"), bytes);
    }

    fn digest(&mut self, name: &str, digest: Digest) {
        self.bytes(&format!("{name}.digest"), digest.as_bytes());
    }

    fn signed<T>(&mut self, name: &str, sign: impl FnOnce(&dyn Signer) -> T) {
        self.bytes(&format!("{name}.signed"), Recorder::message(sign));
    }
}

fn consensus(lines: &mut Lines) {
    lines.encoding("view_id", &at());
    lines.encoding("block", &block());
    lines.encoding("block_ref", &block().reference(&network()));
    lines.digest("block", block().hash(&network()));
    for (name, statement) in statements() {
        lines.encoding(&format!("statement.{name}"), &statement);
        lines.bytes(
            &format!("statement.{name}.signed"),
            statement.message(&network()),
        );
    }
    let [(_, vote), ..] = statements();
    lines.encoding("certificate", &certificate(vote));
    lines.encoding("commit_proof", &commit_proof());
    lines.encoding("proposal", &proposal(&key(2)));
    lines.signed("proposal", proposal);
}

fn lanes(lines: &mut Lines) {
    lines.encoding("tip", &tip(2));
    lines.encoding("cut", &block().cut);
    lines.encoding("cut.empty", &Cut::default());
    lines.encoding("batch_header", &header());
    lines.digest("batch_header", header().digest(&network()));
    let sign = |signer: &dyn Signer| SignedHeader::sign(&network(), header(), signer);
    lines.encoding("signed_header", &sign(&key(2)));
    lines.signed("signed_header", sign);
    lines.encoding("ack", &ack(&key(1)));
    lines.signed("ack", ack);
    lines.encoding("poa", &poa());
    for (name, transaction) in ["plain", "sealed"].iter().zip(transactions()) {
        lines.bytes(
            &format!("transaction.{name}.encoding"),
            transaction.to_bytes(),
        );
        lines.digest(&format!("transaction.{name}"), transaction.id(&network()));
    }
    lines.bytes("batch.body", batch().body());
    lines.encoding("batch.signed", batch().signed());
}

fn order(lines: &mut Lines) {
    for (index, leaf) in leaves().iter().enumerate() {
        lines.encoding(&format!("rollup_leaf.{index}"), leaf);
        lines.digest(&format!("rollup_leaf.{index}"), leaf.digest(&network()));
    }
    lines.digest("order_root", order_root(&network(), &leaves()));
    lines.encoding("order_result", &result());
    lines.digest("order_result", result().digest(&network()));
    lines.signed("order_result", |signer| result().attest(&network(), signer));
    lines.digest("order_seed", order_seed(&network(), &digest(0x31)));
}

fn trees(lines: &mut Lines) {
    let leaves: Vec<_> = (1..=7).map(digest).collect();
    for count in [0, 1, 2, 3, 5, 7] {
        lines.digest(&format!("merkle.{count}"), merkle::root(&leaves[..count]));
    }
    let path = merkle::Path::new(&leaves, 4).unwrap();
    lines.encoding("merkle.path", &path);
}

fn keys(lines: &mut Lines) {
    lines.encoding("public_key", &key(1).public_key());
    lines.encoding("signature", &key(1).sign(b"message"));
}

#[test]
fn encodings_digests_and_signed_messages_are_the_pinned_ones() {
    let mut lines = Lines::default();
    consensus(&mut lines);
    lanes(&mut lines);
    order(&mut lines);
    trees(&mut lines);
    keys(&mut lines);
    for (found, pinned) in lines.0.lines().zip(PINNED.lines()) {
        assert_eq!(found, pinned);
    }
    assert_eq!(
        lines.0.lines().count(),
        PINNED.lines().count(),
        "all lines as they are now:\n{}",
        lines.0
    );
}
