use super::*;
use bytes::Bytes;
use squad_primitives::Digest;

fn admission() -> Admission {
    Admission::new(
        Digest([1; 32]),
        AdmissionLimits {
            payload_bytes: 100,
            expiry_max_blocks: 10,
        },
    )
}

fn view(intake: Intake) -> AdmissionView {
    AdmissionView {
        intake,
        head: Height(50),
        rollups: Arc::new([RollupId(9), RollupId(7)].into_iter().collect()),
    }
}

fn transaction(expiry: u64) -> Transaction {
    Transaction {
        rollup: RollupId(7),
        expiry: Height(expiry),
        kind: TxKind::Plain,
        payload: Bytes::from(vec![3; 100]),
    }
}

fn reason(view: &AdmissionView, transaction: Transaction) -> Option<&'static str> {
    admission()
        .check(view, transaction)
        .err()
        .map(|refusal| refusal.reason())
}

#[test]
fn a_transaction_at_every_limit_passes_with_its_id() {
    let admitted = admission()
        .check(&view(Intake::Open), transaction(61))
        .unwrap();
    assert_eq!(admitted.id(), transaction(61).id(&Digest([1; 32])));
}

#[test]
fn each_check_names_its_reason() {
    let open = view(Intake::Open);
    assert_eq!(reason(&open, transaction(51)), None);
    assert_eq!(reason(&open, transaction(50)), Some("EXPIRED"));
    assert_eq!(reason(&open, transaction(62)), Some("EXPIRY_TOO_FAR"));
    let unknown = Transaction {
        rollup: RollupId(8),
        ..transaction(55)
    };
    assert_eq!(reason(&open, unknown), Some("UNKNOWN_ROLLUP"));
    let large = Transaction {
        payload: Bytes::from(vec![0; 101]),
        ..transaction(55)
    };
    assert_eq!(reason(&open, large), Some("TOO_LARGE"));
    let sealed = Transaction {
        kind: TxKind::Sealed,
        ..transaction(55)
    };
    assert_eq!(reason(&open, sealed), Some("ERA_NOT_ACTIVE"));
    for (intake, expected) in [
        (Intake::Syncing, "SYNCING"),
        (Intake::NoQuorum, "NO_QUORUM"),
        (Intake::LaneWindow, "LANE_WINDOW"),
        (Intake::ShuttingDown, "SHUTTING_DOWN"),
    ] {
        let refusal = admission()
            .check(&view(intake), transaction(55))
            .unwrap_err();
        assert_eq!(refusal.reason(), expected);
        assert!(refusal.retry_after().is_some());
    }
}

#[test]
fn refusals_name_the_limit() {
    let refusal = admission()
        .check(&view(Intake::Open), transaction(62))
        .unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "expiry_height: 62 is too far ahead, the limit is 61"
    );
    assert_eq!(refusal.retry_after(), None);
}

#[test]
fn expiries_near_the_end_of_numbers_do_not_overflow() {
    let view = AdmissionView {
        head: Height(u64::MAX),
        ..view(Intake::Open)
    };
    assert_eq!(reason(&view, transaction(u64::MAX)), None);
    assert_eq!(reason(&view, transaction(1)), Some("EXPIRED"));
}
