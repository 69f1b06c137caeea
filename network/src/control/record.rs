//! Operator records: "operator 3 is this libp2p peer, at these addresses", signed with the operator's
//! identity key. They travel by exchange between peers, so any node that knows the committee's keys can
//! tell operators from the crowd whoever it got the records from.

use libp2p::{Multiaddr, PeerId};
use squad_primitives::{
    Digest, Ed25519Verifier, IdentityKey, NetworkId, OperatorId, PublicKey, Signature, Signer,
    Verifier,
    codec::{self, Decode, DecodeError, Encode, Reader, encode_length, encode_list},
    domain,
    key::Claim,
};
use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Addresses in one record.
const ADDRESSES_MAX: usize = 8;
/// Bytes of one address or peer id.
const FIELD_BYTES_MAX: usize = 128;
/// Records in one reply: one per operator of the largest committee, and some.
const RECORDS_MAX: usize = 128;
/// Largest reply, in bytes: every record at its largest.
pub(crate) const RECORDS_BYTES_LIMIT: usize = RECORDS_MAX * (ADDRESSES_MAX + 2) * FIELD_BYTES_MAX;
/// Records from further ahead of our clock are refused: they could never be replaced.
const CLOCK_DRIFT_MAX: Duration = Duration::from_secs(3_600);

/// Where an operator is found. Private fields: a record exists only signed or verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OperatorRecord {
    body: Body,
    signature: Signature,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Body {
    operator: OperatorId,
    /// When it was signed, in milliseconds since 1970; newer records replace older ones.
    issued_ms: u64,
    peer: PeerId,
    addresses: Vec<Multiaddr>,
}

/// Why a record was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("operator: not in the committee")]
    UnknownOperator,
    #[error("signature: invalid")]
    Signature,
    #[error("issued_ms: too far ahead")]
    FromTheFuture,
}

/// An address as bytes, for lists.
struct AddressBytes(Multiaddr);

impl Encode for AddressBytes {
    fn encode(&self, out: &mut Vec<u8>) {
        let bytes = self.0.to_vec();
        encode_length(bytes.len(), out);
        out.extend_from_slice(&bytes);
    }
}

impl Decode for AddressBytes {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = reader.length("address", FIELD_BYTES_MAX)?;
        let bytes = reader.take("address", length)?;
        Multiaddr::try_from(bytes.to_vec())
            .map(Self)
            .map_err(|_| DecodeError::Truncated { field: "address" })
    }
}

impl Encode for Body {
    fn encode(&self, out: &mut Vec<u8>) {
        self.operator.encode(out);
        self.issued_ms.encode(out);
        let peer = self.peer.to_bytes();
        encode_length(peer.len(), out);
        out.extend_from_slice(&peer);
        let addresses: Vec<_> = self.addresses.iter().cloned().map(AddressBytes).collect();
        encode_list(&addresses, out);
    }
}

impl Decode for Body {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let operator = OperatorId::decode(reader)?;
        let issued_ms = u64::decode(reader)?;
        let length = reader.length("peer", FIELD_BYTES_MAX)?;
        let peer = PeerId::from_bytes(reader.take("peer", length)?)
            .map_err(|_| DecodeError::Truncated { field: "peer" })?;
        let addresses = reader.list::<AddressBytes>("addresses", ADDRESSES_MAX)?;
        Ok(Self {
            operator,
            issued_ms,
            peer,
            addresses: addresses.into_iter().map(|address| address.0).collect(),
        })
    }
}

impl Encode for OperatorRecord {
    fn encode(&self, out: &mut Vec<u8>) {
        self.body.encode(out);
        self.signature.encode(out);
    }
}

impl Decode for OperatorRecord {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            body: Body::decode(reader)?,
            signature: Signature::decode(reader)?,
        })
    }
}

impl Body {
    fn signed_bytes(&self, network: &NetworkId) -> Digest {
        Digest::of(domain::ADDRESS_RECORD, network, self)
    }
}

impl OperatorRecord {
    /// Signs the own record. Addresses beyond the limit are left out.
    pub(crate) fn sign(
        network: &NetworkId,
        identity: &IdentityKey,
        operator: OperatorId,
        peer: PeerId,
        addresses: impl IntoIterator<Item = Multiaddr>,
        now: SystemTime,
    ) -> Self {
        let body = Body {
            operator,
            issued_ms: milliseconds(now),
            peer,
            addresses: addresses
                .into_iter()
                .filter(|address| address.len() <= FIELD_BYTES_MAX)
                .take(ADDRESSES_MAX)
                .collect(),
        };
        let signature = identity.sign(body.signed_bytes(network).as_bytes());
        Self { body, signature }
    }

    pub(crate) fn operator(&self) -> OperatorId {
        self.body.operator
    }

    pub(crate) fn peer(&self) -> PeerId {
        self.body.peer
    }

    pub(crate) fn addresses(&self) -> &[Multiaddr] {
        &self.body.addresses
    }
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The newest verified record of each operator.
#[derive(Debug)]
pub(crate) struct RecordBook {
    network: NetworkId,
    keys: BTreeMap<OperatorId, PublicKey>,
    records: BTreeMap<OperatorId, OperatorRecord>,
}

impl RecordBook {
    pub(crate) fn new(network: NetworkId) -> Self {
        Self {
            network,
            keys: BTreeMap::new(),
            records: BTreeMap::new(),
        }
    }

    /// Replaces the committee; records of former members, and under former keys, are forgotten.
    pub(crate) fn set_operators(&mut self, operators: Vec<(OperatorId, PublicKey)>) {
        let keys: BTreeMap<_, _> = operators.into_iter().collect();
        let former = std::mem::replace(&mut self.keys, keys);
        let keys = &self.keys;
        self.records.retain(|operator, _| {
            keys.contains_key(operator) && keys.get(operator) == former.get(operator)
        });
    }

    /// Takes a record if it is valid and newer than the one known. Returns whether it was taken.
    pub(crate) fn insert(
        &mut self,
        record: OperatorRecord,
        now: SystemTime,
    ) -> Result<bool, RecordError> {
        let body = &record.body;
        let key = self.keys.get(&body.operator);
        let key = key.ok_or(RecordError::UnknownOperator)?;
        let known = self.records.get(&body.operator);
        if known.is_some_and(|known| known.body.issued_ms >= body.issued_ms) {
            return Ok(false);
        }
        if body.issued_ms > milliseconds(now + CLOCK_DRIFT_MAX) {
            return Err(RecordError::FromTheFuture);
        }
        let signed = body.signed_bytes(&self.network);
        let claim = Claim {
            key,
            message: signed.as_bytes(),
            signature: &record.signature,
        };
        if !Ed25519Verifier.verify(claim) {
            return Err(RecordError::Signature);
        }
        self.records.insert(body.operator, record);
        Ok(true)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &OperatorRecord> {
        self.records.values()
    }

    /// The operator whose record names `peer`.
    pub(crate) fn operator_of(&self, peer: &PeerId) -> Option<OperatorId> {
        self.iter()
            .find(|record| record.peer() == *peer)
            .map(OperatorRecord::operator)
    }

    /// All records, for a peer that asks.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let records: Vec<_> = self.records.values().take(RECORDS_MAX).collect();
        let mut out = Vec::new();
        encode_list(&records, &mut out);
        out
    }

    /// Reads what [`RecordBook::encode`] wrote.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<OperatorRecord>, DecodeError> {
        struct List(Vec<OperatorRecord>);
        impl Decode for List {
            fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                reader.list("records", RECORDS_MAX).map(Self)
            }
        }
        codec::decode::<List>(bytes).map(|list| list.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squad_fuzz::{Bound, bounded, damage, hostile, run};

    const NETWORK: NetworkId = Digest([1; 32]);
    const NOW: SystemTime = UNIX_EPOCH;

    fn identity(number: u8) -> IdentityKey {
        IdentityKey::from_seed([number; 32])
    }

    fn record(number: u8, at: SystemTime) -> OperatorRecord {
        let address: Multiaddr = "/ip4/127.0.0.1/tcp/4101".parse().unwrap();
        OperatorRecord::sign(
            &NETWORK,
            &identity(number),
            OperatorId(number.into()),
            PeerId::random(),
            vec![address; 20],
            at,
        )
    }

    fn book() -> RecordBook {
        let mut book = RecordBook::new(NETWORK);
        book.set_operators(
            (1..=3)
                .map(|number| (OperatorId(number.into()), identity(number).public_key()))
                .collect(),
        );
        book
    }

    #[test]
    fn newer_records_replace_older_ones_only() {
        let mut book = book();
        let (old, new) = (record(1, NOW), record(1, NOW + Duration::from_millis(1)));
        assert_eq!(book.insert(new.clone(), NOW), Ok(true));
        assert_eq!(book.insert(old, NOW), Ok(false));
        assert_eq!(book.insert(new.clone(), NOW), Ok(false));
        assert_eq!(book.operator_of(&new.peer()), Some(OperatorId(1)));
        assert_eq!(new.addresses().len(), ADDRESSES_MAX);
    }

    #[test]
    fn forged_foreign_and_future_records_are_refused() {
        let mut book = book();
        assert_eq!(
            book.insert(record(4, NOW), NOW),
            Err(RecordError::UnknownOperator)
        );
        let mut forged = record(1, NOW);
        forged.body.operator = OperatorId(2);
        assert_eq!(book.insert(forged, NOW), Err(RecordError::Signature));
        let ahead = record(1, NOW + CLOCK_DRIFT_MAX + Duration::from_secs(1));
        assert_eq!(book.insert(ahead, NOW), Err(RecordError::FromTheFuture));
        let mut elsewhere = RecordBook::new(Digest([2; 32]));
        elsewhere.set_operators(vec![(OperatorId(1), identity(1).public_key())]);
        assert_eq!(
            elsewhere.insert(record(1, NOW), NOW),
            Err(RecordError::Signature)
        );
    }

    #[test]
    fn a_changed_committee_forgets_who_left_or_changed_keys() {
        let mut book = book();
        for number in 1..=3 {
            book.insert(record(number, NOW), NOW).unwrap();
        }
        book.set_operators(vec![
            (OperatorId(1), identity(1).public_key()),
            (OperatorId(2), identity(9).public_key()),
        ]);
        let left: Vec<_> = book.iter().map(OperatorRecord::operator).collect();
        assert_eq!(left, [OperatorId(1)]);
    }

    #[test]
    fn lists_round_trip_within_their_limit() {
        let mut book = book();
        for number in 1..=3 {
            book.insert(record(number, NOW), NOW).unwrap();
        }
        let bytes = book.encode();
        let records = RecordBook::decode(&bytes).unwrap();
        assert_eq!(records, book.iter().cloned().collect::<Vec<_>>());
        let one = records[0].to_bytes().len();
        assert!(one * RECORDS_MAX + 4 <= RECORDS_BYTES_LIMIT);
        assert!(RecordBook::decode(&bytes[1..]).is_err());
    }

    /// What is accepted has one encoding, and the limits hold before anything is reserved.
    #[test]
    fn damaged_lists() {
        let mut book = book();
        for number in 1..=3 {
            book.insert(record(number, NOW), NOW).unwrap();
        }
        let valid = [book.encode(), RecordBook::new(NETWORK).encode()];
        run("operator records", |u| {
            let input = hostile(u, &valid, damage)?;
            let decoded = bounded(Bound::PEER, input.len(), || RecordBook::decode(&input));
            if let Ok(records) = &decoded {
                let mut again = Vec::new();
                encode_list(records, &mut again);
                assert_eq!(again, input);
                for record in records {
                    let taken = book.insert(record.clone(), NOW);
                    assert_ne!(taken, Ok(true), "nobody signed another record");
                }
            }
            Ok(decoded.is_ok())
        });
    }
}
