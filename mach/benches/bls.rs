//! Cost of MACH's cryptography: signing, verifying, aggregating. The same with plain `blst` beside it,
//! for ADR 0008.
//!
//! Times are CPU time of the process, so that a busy machine distorts them little, and what plain
//! `blst` does on threads of its own counts too.
//!
//! `cargo bench -p squad-mach`

use blst::min_pk;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use rustix::time::{ClockId, clock_gettime};
use squad_mach::bls::{CIPHERSUITE, Sum};
use squad_mach::guard::Prepared;
use squad_mach::{
    Admission, Attestation, BlsPublicKey, BlsSecretKey, Certificate, MachCommittee, MachMember,
    Permit, SignGuard, Signers, Statement,
};
use squad_primitives::{Digest, Epoch, Height, OperatorId, PublicKey, Stake};
use std::hint::black_box;
use std::time::Duration;

const SIZES: [u16; 3] = [4, 20, 100];

/// CPU time of all threads.
struct CpuTime;

fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        now.tv_sec.try_into().expect("CPU time is not negative"),
        now.tv_nsec.try_into().expect("below a second"),
    )
}

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        cpu_time()
    }

    fn end(&self, started: Duration) -> Duration {
        cpu_time() - started
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

fn secret(index: u16) -> BlsSecretKey {
    let mut material = [7; 32];
    material[..2].copy_from_slice(&index.to_be_bytes());
    BlsSecretKey::from_entropy(&material).expect("32 bytes are enough")
}

fn statement() -> Statement {
    Statement {
        network: Digest([1; 32]),
        epoch: Epoch(0),
        height: Height(1),
        block: Digest([2; 32]),
        result_root: Digest([3; 32]),
    }
}

fn permit(key: &BlsSecretKey, member: u16) -> Permit {
    let mut guard = SignGuard::restore(key.public_key(), None).expect("no record");
    match guard.prepare(member, statement()) {
        Ok(Prepared::Record { ticket, .. }) => guard.durable(ticket).expect("in flight"),
        other => panic!("{other:?}"),
    }
}

struct Network {
    keys: Vec<BlsSecretKey>,
    committee: MachCommittee,
    attestations: Vec<Attestation>,
    certificate: Certificate,
}

fn network(size: u16) -> Network {
    let keys: Vec<_> = (0..size).map(secret).collect();
    let admissions = keys.iter().zip(0..).map(|(key, index)| {
        let identity = PublicKey([u8::try_from(index).expect("at most 100"); 32]);
        Admission {
            member: MachMember {
                operator: OperatorId(index),
                identity,
                key: *key.public_key(),
                stake: Stake(1),
            },
            possession: key.prove_possession(&identity),
        }
    });
    let committee = MachCommittee::admit(Epoch(0), admissions.collect()).expect("legal");
    let attestations: Vec<_> = keys
        .iter()
        .zip(0..)
        .map(|(key, member)| key.attest(&permit(key, member)))
        .collect();
    let certificate = aggregate(&committee, &attestations);
    Network {
        keys,
        committee,
        attestations,
        certificate,
    }
}

/// What the aggregator does for one certificate: decode, add up, one pairing equation.
fn aggregate(committee: &MachCommittee, attestations: &[Attestation]) -> Certificate {
    let mut sum = Sum::default();
    let mut signers = Signers::none(committee.size());
    for attestation in attestations {
        let signature = attestation.signature.decode().expect("valid");
        let member = committee.at(attestation.member).expect("member");
        sum.add(&member.key, &signature);
        signers.insert(attestation.member);
    }
    assert!(sum.verify(&statement().message()));
    Certificate {
        statement: statement(),
        signers,
        signature: sum.signature(),
    }
}

fn single(c: &mut Criterion<CpuTime>) {
    let key = secret(0);
    let permit = permit(&key, 0);
    let attestation = key.attest(&permit);
    let signature = attestation.signature.decode().expect("valid");
    let message = statement().message();
    let mut group = c.benchmark_group("single");
    group.bench_function("sign", |b| b.iter(|| key.attest(black_box(&permit))));
    group.bench_function("verify", |b| {
        b.iter(|| assert!(key.public_key().verify(black_box(&message), &signature)));
    });
    group.bench_function("decode signature", |b| {
        b.iter(|| black_box(&attestation.signature).decode());
    });
    let bytes = key.public_key().to_bytes();
    group.bench_function("decode key", |b| {
        b.iter(|| BlsPublicKey::from_bytes(black_box(&bytes)));
    });
    let theirs = min_pk::SecretKey::key_gen(&[7; 32], &[]).expect("32 bytes");
    let public = theirs.sk_to_pk();
    let dst = CIPHERSUITE.as_bytes();
    let signed = theirs.sign(&message, dst, &[]);
    group.bench_function("sign, blst", |b| {
        b.iter(|| theirs.sign(black_box(&message), dst, &[]).compress());
    });
    group.bench_function("verify, blst", |b| {
        b.iter(|| {
            let result = signed.verify(false, black_box(&message), dst, &[], &public, false);
            assert_eq!(result, blst::BLST_ERROR::BLST_SUCCESS);
        });
    });
    group.finish();
}

fn many(c: &mut Criterion<CpuTime>) {
    let message = statement().message();
    let dst = CIPHERSUITE.as_bytes();
    let mut group = c.benchmark_group("committee");
    for size in SIZES {
        let network = network(size);
        group.bench_function(BenchmarkId::new("aggregate and verify", size), |b| {
            b.iter(|| aggregate(&network.committee, black_box(&network.attestations)));
        });
        group.bench_function(BenchmarkId::new("verify certificate", size), |b| {
            b.iter(|| {
                let result = black_box(&network.certificate)
                    .verify(&statement().network, &network.committee);
                assert_eq!(result, Ok(()));
            });
        });
        let keys: Vec<_> = network
            .keys
            .iter()
            .map(|key| {
                min_pk::PublicKey::key_validate(&key.public_key().to_bytes()).expect("valid")
            })
            .collect();
        group.bench_function(BenchmarkId::new("aggregate and verify, blst", size), |b| {
            b.iter(|| {
                let signatures: Vec<_> = black_box(&network.attestations)
                    .iter()
                    .map(|a| min_pk::Signature::sig_validate(&a.signature.0, true).expect("valid"))
                    .collect();
                let signatures: Vec<_> = signatures.iter().collect();
                let keys: Vec<_> = keys.iter().collect();
                let sum = min_pk::AggregateSignature::aggregate(&signatures, false)
                    .expect("not empty")
                    .to_signature();
                let result = sum.fast_aggregate_verify(false, &message, dst, &keys);
                assert_eq!(result, blst::BLST_ERROR::BLST_SUCCESS);
                sum.compress()
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = single, many
}
criterion_main!(benches);
