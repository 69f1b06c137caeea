//! Nothing is signed twice, across any crash.

use crate::support::{other_result, secret, statement};
use squad_mach::guard::{Prepared, RECORD_BYTES};
use squad_mach::{GuardError, Refusal, SignGuard, Statement};
use squad_primitives::Height;

fn guard(record: Option<&[u8]>) -> SignGuard {
    SignGuard::restore(secret(0).public_key(), record).unwrap()
}

/// Prepares a statement and says its record is durable; the record.
fn sign(guard: &mut SignGuard, statement: Statement) -> Vec<u8> {
    let Ok(Prepared::Record { ticket, record }) = guard.prepare(0, statement) else {
        panic!("refused");
    };
    assert_eq!(record.len(), RECORD_BYTES);
    assert_eq!(*guard.durable(ticket).unwrap().statement(), statement);
    record
}

#[test]
fn no_permit_before_the_record_is_durable() {
    let mut guard = guard(None);
    let Ok(Prepared::Record { ticket, .. }) = guard.prepare(0, statement(0, 5)) else {
        panic!("refused");
    };
    assert_eq!(guard.last(), None);
    assert_eq!(guard.durable(ticket + 1), None, "another write");
    assert_eq!(
        guard.prepare(0, statement(0, 6)),
        Err(Refusal::InFlight(Height(6)))
    );
    assert_eq!(
        guard.prepare(0, other_result(statement(0, 5))),
        Err(Refusal::Contradiction(Height(5))),
        "a record in flight counts"
    );
    assert!(guard.durable(ticket).is_some());
    assert_eq!(guard.durable(ticket), None, "one permit per record");
}

#[test]
fn a_crash_between_record_and_signature_repeats_the_same_one() {
    let record = sign(&mut guard(None), statement(0, 5));
    let mut after = guard(Some(&record));
    assert!(matches!(
        after.prepare(0, statement(0, 5)),
        Ok(Prepared::Ready(permit)) if *permit.statement() == statement(0, 5)
    ));
    assert_eq!(
        after.prepare(0, other_result(statement(0, 5))),
        Err(Refusal::Contradiction(Height(5)))
    );
    assert_eq!(
        after.prepare(0, statement(1, 5)),
        Err(Refusal::Contradiction(Height(5))),
        "the same height in another epoch"
    );
    assert_eq!(
        after.prepare(0, statement(0, 4)),
        Err(Refusal::Below {
            height: Height(4),
            signed: Height(5)
        })
    );
    sign(&mut after, statement(0, 6));
}

#[test]
fn an_old_backup_signs_nothing_below_what_others_know() {
    let mut first = guard(None);
    let backup = sign(&mut first, statement(0, 5));
    sign(&mut first, statement(0, 9));
    let mut restored = guard(Some(&backup));
    restored.raise_floor(Height(9));
    restored.raise_floor(Height(3));
    assert_eq!(
        restored.prepare(0, other_result(statement(0, 9))),
        Err(Refusal::Floor {
            height: Height(9),
            floor: Height(9)
        })
    );
    sign(&mut restored, statement(0, 10));
}

#[test]
fn damaged_and_foreign_records_stop_the_node() {
    let record = sign(&mut guard(None), statement(0, 5));
    for length in 0..record.len() {
        assert!(matches!(
            SignGuard::restore(secret(0).public_key(), Some(&record[..length])),
            Err(GuardError::Decode(_))
        ));
    }
    assert_eq!(
        SignGuard::restore(secret(1).public_key(), Some(&record)).unwrap_err(),
        GuardError::OtherKey
    );
}
