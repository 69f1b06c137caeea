//! The aggregator as a state machine: attestations in any order, from honest and hostile members.

use crate::support::{NETWORK, Network, other_result, statement};
use squad_mach::aggregator::{Fault, Input, OWN_MAX, Output, RECENT_MAX, WAITING_MAX};
use squad_mach::{
    Aggregator, AggregatorConfig, Alert, Attestation, Certificate, CertificateError, Evidence,
    RawSignature, Statement,
};
use squad_primitives::{Duration, Epoch, Height, OperatorId, Time};

struct Bench {
    network: Network,
    aggregator: Aggregator,
    now: Time,
}

impl Bench {
    fn new(stakes: &[u64]) -> Self {
        let network = Network::new(0, stakes);
        let aggregator = Aggregator::new(
            AggregatorConfig::default(),
            NETWORK,
            network.committee.clone(),
            Height::ZERO,
        );
        Self {
            network,
            aggregator,
            now: Time(1_000_000),
        }
    }

    fn step(&mut self, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        self.aggregator.step(self.now, input, &mut out);
        out
    }

    fn executed(&mut self, height: u64) -> Vec<Output> {
        self.step(Input::Executed(statement(0, height)))
    }

    fn attestation(&mut self, attestation: Attestation) -> Vec<Output> {
        self.step(Input::Attestation {
            from: attestation.member,
            attestation: Box::new(attestation),
        })
    }

    fn attest(&mut self, member: u16, height: u64) -> Vec<Output> {
        let attestation = self.network.attest(member, statement(0, height));
        self.attestation(attestation)
    }

    fn forged(&self, member: u16, statement: Statement) -> Attestation {
        // A valid point, so that only the pairing notices.
        let other = self.network.attest(member, other_result(statement));
        Attestation {
            statement,
            signature: other.signature,
            ..other
        }
    }

    fn wait(&mut self, duration: Duration) -> Vec<Output> {
        self.now = self.now.after(duration);
        let mut out = Vec::new();
        self.aggregator.handle_timeout(self.now, &mut out);
        out
    }

    fn verified(&self, out: &[Output]) -> (Vec<u16>, bool) {
        let [Output::Certificate { certificate, wider }] = out else {
            panic!("expected one certificate: {out:?}");
        };
        assert_eq!(
            certificate.verify(&NETWORK, &self.network.committee),
            Ok(())
        );
        (certificate.signers.iter().collect(), *wider)
    }
}

const WIDEN: Duration = Duration::from_millis(50);

#[test]
fn a_quorum_makes_a_certificate_and_late_ones_widen_it_once() {
    let mut bench = Bench::new(&[1; 4]);
    assert_eq!(bench.executed(1), []);
    assert_eq!(bench.attest(0, 1), []);
    assert_eq!(bench.attest(3, 1), []);
    let out = bench.attest(1, 1);
    assert_eq!(bench.verified(&out), (vec![0, 1, 3], false));
    assert_eq!(bench.aggregator.certified(), Height(1));
    // The last one completes the committee, so nothing is waited for.
    let out = bench.attest(2, 1);
    assert_eq!(bench.verified(&out), (vec![0, 1, 2, 3], true));
    assert_eq!(bench.aggregator.next_deadline(), None);
    assert_eq!(bench.attest(2, 1), [], "a duplicate");
}

#[test]
fn widening_ends_after_its_time_and_later_ones_are_dropped() {
    let mut bench = Bench::new(&[1; 7]);
    bench.executed(1);
    for member in 0..4 {
        assert_eq!(bench.attest(member, 1), []);
    }
    let out = bench.attest(4, 1);
    assert_eq!(bench.verified(&out).0.len(), 5);
    let deadline = bench.now.after(WIDEN);
    assert_eq!(bench.aggregator.next_deadline(), Some(deadline));
    assert_eq!(bench.attest(5, 1), []);
    assert_eq!(bench.wait(WIDEN - Duration::from_micros(1)), []);
    let out = bench.wait(Duration::from_micros(1));
    assert_eq!(bench.verified(&out), (vec![0, 1, 2, 3, 4, 5], true));
    assert_eq!(bench.attest(6, 1), []);
    assert_eq!(bench.wait(WIDEN), []);
}

#[test]
fn exactly_two_thirds_of_stake_are_not_enough() {
    let mut bench = Bench::new(&[3, 3, 2, 1]);
    bench.executed(1);
    assert_eq!(bench.attest(0, 1), []);
    assert_eq!(bench.attest(1, 1), []);
    let out = bench.attest(3, 1);
    assert_eq!(bench.verified(&out).0, [0, 1, 3]);
}

#[test]
fn attestations_wait_for_the_own_execution() {
    let mut bench = Bench::new(&[1; 4]);
    for member in [1, 2, 3] {
        assert_eq!(bench.attest(member, 5), []);
    }
    assert_eq!(bench.executed(4), []);
    let out = bench.executed(5);
    assert_eq!(bench.verified(&out).0, [1, 2, 3]);
}

#[test]
fn a_certificate_covers_lower_heights_and_skips_them() {
    let mut bench = Bench::new(&[1; 4]);
    for height in 1..=5 {
        bench.executed(height);
    }
    for member in 0..3 {
        bench.attest(member, 5);
    }
    assert_eq!(bench.aggregator.certified(), Height(5));
    // Height 3 may still get one of its own; what is final stays final.
    for member in 0..3 {
        bench.attest(member, 3);
    }
    assert!(bench.aggregator.certificate(Height(3)).is_some());
    assert_eq!(bench.aggregator.certified(), Height(5));
}

#[test]
fn bad_signatures_are_found_among_many_and_their_senders_named() {
    for bad in [vec![0], vec![7], vec![3, 4], vec![0, 5, 9], vec![1, 2, 3]] {
        let mut bench = Bench::new(&[1; 10]);
        let mut out = Vec::new();
        bench.executed(1);
        for member in 0..10 {
            let attestation = if bad.contains(&member) {
                bench.forged(member, statement(0, 1))
            } else {
                bench.network.attest(member, statement(0, 1))
            };
            out.extend(bench.attestation(attestation));
        }
        out.extend(bench.wait(WIDEN));
        let mut faulty = Vec::new();
        let mut best = 0;
        for output in &out {
            match output {
                Output::Fault {
                    operator,
                    fault: Fault::Signature,
                } => faulty.push(operator.0 as u16),
                Output::Certificate { certificate, .. } => {
                    let valid = certificate.verify(&NETWORK, &bench.network.committee);
                    assert_eq!(valid, Ok(()));
                    best = certificate.signers.count();
                }
                other => panic!("{other:?}"),
            }
        }
        faulty.sort_unstable();
        assert_eq!(faulty, bad);
        assert_eq!(usize::from(best), 10 - bad.len());
    }
}

#[test]
fn whoever_sent_a_bad_signature_is_checked_singly_afterwards() {
    let mut bench = Bench::new(&[1; 4]);
    bench.executed(1);
    bench.attestation(bench.forged(0, statement(0, 1)));
    bench.attest(1, 1);
    let out = bench.attest(2, 1);
    assert_eq!(out, [fault(0, Fault::Signature)]);
    bench.executed(2);
    let out = bench.attestation(bench.forged(0, statement(0, 2)));
    assert_eq!(out, [fault(0, Fault::Signature)], "at once");
    bench.attest(0, 2);
    bench.attest(1, 2);
    let out = bench.attest(2, 2);
    assert_eq!(bench.verified(&out).0, [0, 1, 2], "valid ones still count");
}

#[test]
fn bytes_that_are_no_point_are_a_bad_signature() {
    let mut bench = Bench::new(&[1; 4]);
    bench.executed(1);
    let mut garbage = bench.network.attest(0, statement(0, 1));
    garbage.signature = RawSignature([0xaa; 96]);
    bench.attestation(garbage);
    bench.attest(1, 1);
    assert_eq!(bench.attest(2, 1), [fault(0, Fault::Signature)]);
    let out = bench.attest(3, 1);
    assert_eq!(bench.verified(&out).0, [1, 2, 3]);
}

fn fault(operator: u32, fault: Fault) -> Output {
    Output::Fault {
        operator: OperatorId(operator),
        fault,
    }
}

#[test]
fn equivocation_gives_evidence_that_others_can_check() {
    let mut bench = Bench::new(&[1; 4]);
    bench.executed(1);
    bench.attest(2, 1);
    let second = bench.network.attest(2, other_result(statement(0, 1)));
    let out = bench.attestation(second);
    let [
        Output::Evidence(evidence),
        Output::Fault {
            operator: OperatorId(2),
            fault: Fault::Equivocation,
        },
        Output::Alert(Alert::Mismatch { .. }),
    ] = out.as_slice()
    else {
        panic!("{out:?}");
    };
    assert_eq!(
        evidence.verify(&NETWORK, &bench.network.committee),
        Ok(vec![OperatorId(2)])
    );
    assert_eq!(bench.attestation(second), [], "one check per height");
}

#[test]
fn a_forged_contradiction_convicts_nobody() {
    let mut bench = Bench::new(&[1; 4]);
    bench.executed(1);
    bench.attest(2, 1);
    let genuine = bench.network.attest(2, statement(0, 1));
    let forged = Attestation {
        statement: other_result(statement(0, 1)),
        ..genuine
    };
    assert_eq!(bench.attestation(forged), [fault(2, Fault::Signature)]);
    bench.attest(0, 1);
    let out = bench.attest(1, 1);
    assert_eq!(bench.verified(&out).0, [0, 1, 2], "the valid one counts");
}

#[test]
fn nobody_speaks_for_another_member() {
    let mut bench = Bench::new(&[1; 4]);
    bench.executed(1);
    let attestation = bench.network.attest(1, statement(0, 1));
    let out = bench.step(Input::Attestation {
        from: 3,
        attestation: Box::new(attestation),
    });
    assert_eq!(out, [fault(3, Fault::NotItsOwn)]);
    let mut elsewhere = attestation;
    elsewhere.statement.network = squad_primitives::Digest([9; 32]);
    assert_eq!(bench.attestation(elsewhere), [fault(1, Fault::NotItsOwn)]);
}

#[test]
fn another_result_is_an_alert_and_a_certified_one_means_we_are_wrong() {
    let mut bench = Bench::new(&[1; 4]);
    bench.executed(1);
    let other = other_result(statement(0, 1));
    let out = bench.attestation(bench.network.attest(1, other));
    assert!(matches!(
        out.as_slice(),
        [Output::Alert(Alert::Mismatch {
            operator: OperatorId(1),
            ..
        })]
    ));
    let certificate = bench.network.certify(other, &[1, 2, 3]);
    let out = bench.step(Input::Certificate(Box::new(certificate)));
    assert!(
        matches!(
            out.as_slice(),
            [
                Output::Alert(Alert::Outvoted { .. }),
                Output::Certificate { .. }
            ]
        ),
        "{out:?}"
    );
}

#[test]
fn a_mismatch_found_on_execution_is_reported_too() {
    let mut bench = Bench::new(&[1; 4]);
    let other = other_result(statement(0, 1));
    bench.attestation(bench.network.attest(1, other));
    let certificate = bench.network.certify(other, &[1, 2, 3]);
    bench.step(Input::Certificate(Box::new(certificate)));
    let out = bench.executed(1);
    assert!(
        matches!(
            out.as_slice(),
            [
                Output::Alert(Alert::Outvoted { .. }),
                Output::Alert(Alert::Mismatch { .. })
            ]
        ),
        "{out:?}"
    );
}

#[test]
fn whoever_contradicts_a_certificate_leaves_evidence() {
    let mut bench = Bench::new(&[1; 4]);
    bench.executed(1);
    for member in 0..3 {
        bench.attest(member, 1);
    }
    let out = bench.attestation(bench.network.attest(3, other_result(statement(0, 1))));
    let [
        Output::Alert(Alert::Mismatch { .. }),
        Output::Evidence(evidence),
    ] = out.as_slice()
    else {
        panic!("{out:?}");
    };
    assert!(matches!(**evidence, Evidence::Contradicted(_)));
    assert_eq!(
        evidence.verify(&NETWORK, &bench.network.committee),
        Ok(vec![OperatorId(3)])
    );
}

#[test]
fn certificates_from_others_are_verified_once() {
    let mut bench = Bench::new(&[1; 4]);
    let certificate = |members: &[u16]| {
        let network = Network::new(0, &[1; 4]);
        Input::Certificate(Box::new(network.certify(statement(0, 9), members)))
    };
    let out = bench.step(certificate(&[0, 1]));
    assert!(matches!(
        out.as_slice(),
        [Output::Refused(CertificateError::NoQuorum { .. })]
    ));
    let out = bench.step(certificate(&[0, 1, 2]));
    assert_eq!(bench.verified(&out).0, [0, 1, 2]);
    assert_eq!(bench.step(certificate(&[1, 2, 3])), []);
    assert_eq!(bench.aggregator.certified(), Height(9));
}

#[test]
fn conflicting_certificates_are_an_alert_and_evidence() {
    let mut bench = Bench::new(&[1; 4]);
    bench.executed(1);
    for member in 0..3 {
        bench.attest(member, 1);
    }
    let other: Certificate = bench
        .network
        .certify(other_result(statement(0, 1)), &[1, 2, 3]);
    let out = bench.step(Input::Certificate(Box::new(other)));
    let [
        Output::Alert(Alert::ConflictingCertificates(Height(1))),
        Output::Evidence(evidence),
    ] = out.as_slice()
    else {
        panic!("{out:?}");
    };
    assert_eq!(
        evidence.verify(&NETWORK, &bench.network.committee),
        Ok(vec![OperatorId(1), OperatorId(2)])
    );
}

#[test]
fn a_lost_quorum_is_said_once_with_the_missing_and_its_return_too() {
    let mut bench = Bench::new(&[1; 4]);
    bench.executed(1);
    bench.attest(0, 1);
    bench.attest(1, 1);
    let out = bench.wait(Duration::from_secs(5));
    assert_eq!(
        out,
        [Output::Alert(Alert::QuorumLost {
            executed: Height(1),
            certified: Height(0),
            missing: vec![OperatorId(2), OperatorId(3)],
        })]
    );
    assert_eq!(bench.wait(Duration::from_secs(5)), []);
    let out = bench.attest(2, 1);
    assert_eq!(out.len(), 2);
    assert!(out.contains(&Output::Alert(Alert::QuorumRestored(Height(1)))));
}

#[test]
fn a_member_that_runs_ahead_keeps_only_its_newest_heights() {
    let mut bench = Bench::new(&[1; 4]);
    let flood = WAITING_MAX as u64 + 10;
    for height in 1..=flood {
        // The signatures are not looked at yet.
        let mut attestation = bench.network.attest(0, statement(0, 1));
        attestation.statement = statement(0, height);
        bench.attestation(attestation);
    }
    let text = format!("{:?}", bench.aggregator);
    assert_eq!(text.matches("summed: ").count(), WAITING_MAX);
    // Honest members are not displaced by it.
    for member in 1..4 {
        bench.attest(member, 2);
    }
    bench.executed(1);
    let out = bench.executed(2);
    assert_eq!(bench.verified(&out).0, [1, 2, 3]);
}

#[test]
fn executed_heights_are_bounded_and_older_ones_are_late() {
    let mut bench = Bench::new(&[1; 4]);
    for height in 1..=OWN_MAX as u64 + 5 {
        bench.executed(height);
    }
    for member in 0..4 {
        assert_eq!(bench.attest(member, 5), [], "height 5 is forgotten");
    }
    bench.attest(0, 6);
    bench.attest(1, 6);
    let out = bench.attest(2, 6);
    assert_eq!(bench.verified(&out).0.len(), 3);
}

#[test]
fn epochs_have_committees_of_their_own() {
    let mut bench = Bench::new(&[1; 4]);
    let next = Network::new(1, &[1; 5]);
    let attestation = next.attest(4, statement(1, 9));
    assert_eq!(bench.attestation(attestation), [], "unknown epoch");
    bench.aggregator.add_committee(next.committee.clone());
    bench.step(Input::Executed(statement(1, 9)));
    for member in 0..3 {
        bench.attestation(next.attest(member, statement(1, 9)));
    }
    let out = bench.attestation(next.attest(4, statement(1, 9)));
    let [Output::Certificate { certificate, .. }] = out.as_slice() else {
        panic!("{out:?}");
    };
    assert_eq!(certificate.verify(&NETWORK, &next.committee), Ok(()));
    assert_eq!(certificate.statement.epoch, Epoch(1));
}

/// Whoever repeats old attestations can't have old heights certified again.
#[test]
fn a_height_is_certified_once() {
    let mut bench = Bench::new(&[1; 4]);
    let heights = RECENT_MAX as u64 + 6;
    let mut certificates = 0;
    for height in 1..=heights {
        bench.executed(height);
        for member in 0..3 {
            certificates += bench.attest(member, height).len();
        }
        bench.wait(WIDEN);
    }
    assert_eq!(certificates as u64, heights);
    for height in 1..=heights {
        for member in 0..3 {
            assert_eq!(bench.attest(member, height), [], "height {height}");
        }
    }
}
