//! Conversions of the public messages: there and back for every value, and what is refused.

use crate::any;
use bytes::Bytes;
use proptest::prelude::*;
use squad_primitives::certificate::CommitProof;
use squad_primitives::order::{OrderResult, RollupProof};
use squad_primitives::{Certificate, Poa, SignedHeader, Transaction};
use squad_proto::convert::{ConvertError, Problem, digests_packed, digests_unpacked};
use squad_proto::v1;

proptest! {
    #[test]
    fn commit_proofs(value in any::commit_proof()) {
        prop_assert_eq!(CommitProof::try_from(&v1::CommitProof::from(&value)), Ok(value));
    }

    #[test]
    fn signed_headers_and_poas(header in any::signed_header(), poa in any::poa()) {
        prop_assert_eq!(SignedHeader::try_from(&v1::SignedHeader::from(&header)), Ok(header));
        prop_assert_eq!(Poa::try_from(&v1::Poa::from(&poa)), Ok(poa));
    }

    #[test]
    fn results_and_proofs(result in any::result(), proof in any::rollup_proof()) {
        prop_assert_eq!(OrderResult::try_from(&v1::OrderResult::from(&result)), Ok(result));
        prop_assert_eq!(RollupProof::try_from(&v1::RollupProof::from(&proof)), Ok(proof));
    }

    #[test]
    fn transactions(value in any::transaction()) {
        prop_assert_eq!(Transaction::try_from(v1::Transaction::from(value.clone())), Ok(value));
    }

    #[test]
    fn packed_ids(ids in prop::collection::vec(any::digest(), 0..9)) {
        prop_assert_eq!(digests_unpacked("tx_ids", 8, &digests_packed(&ids)).ok(), (ids.len() < 9).then_some(ids));
    }
}

#[test]
fn an_unspecified_or_unknown_kind_of_transaction_is_refused() {
    for kind in [0, 3, -1] {
        let message = v1::Transaction {
            rollup_id: 1,
            payload: Bytes::new(),
            kind,
            expiry_height: 9,
        };
        let refused = ConvertError {
            field: "kind",
            problem: Problem::UnknownValue(kind),
        };
        assert_eq!(Transaction::try_from(message), Err(refused));
    }
}

#[test]
fn packed_ids_name_a_ragged_length_and_the_limit() {
    let ragged = Problem::Ragged {
        found: 33,
        unit: 32,
    };
    let too_many = Problem::TooMany { found: 3, limit: 2 };
    for (length, problem) in [(33, ragged), (96, too_many)] {
        assert_eq!(
            digests_unpacked("tx_ids", 2, &vec![7; length]),
            Err(ConvertError {
                field: "tx_ids",
                problem
            })
        );
    }
}

#[test]
fn an_error_names_the_field_of_the_proto_file() {
    let certificate = v1::Certificate::default();
    let refused = Certificate::try_from(&certificate).unwrap_err();
    assert_eq!(refused.to_string(), "statement: missing");
}
