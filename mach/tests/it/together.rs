//! Four operators with attester, guard and aggregator, under loss, delay, crashes at any point and lost
//! records: nobody contradicts itself, all certificates agree, and when it gets quiet all is certified.

use crate::support::{NETWORK, Network, statement};
use proptest::prelude::*;
use squad_mach::aggregator::{self, Output as Out};
use squad_mach::attester::{self, Output};
use squad_mach::{
    Aggregator, AggregatorConfig, Attestation, Attester, AttesterConfig, Certificate, SignGuard,
    Statement,
};
use squad_primitives::{Duration, Height, Time};
use std::collections::BTreeMap;

/// What one tick does to one operator.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// Executes the next block.
    Execute,
    /// Its record reaches the disk.
    Sync,
    /// Crashes: what was not synced is gone.
    Crash,
    /// Takes a message; the number picks which.
    Deliver(u8),
    /// Loses a message.
    Lose(u8),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => Just(Act::Execute),
        4 => Just(Act::Sync),
        1 => Just(Act::Crash),
        8 => any::<u8>().prop_map(Act::Deliver),
        2 => any::<u8>().prop_map(Act::Lose),
    ]
}

struct Operator {
    attester: Attester,
    aggregator: Aggregator,
    executed: u64,
    disk: Option<Vec<u8>>,
    writing: Option<(u64, Vec<u8>)>,
    inbox: Vec<Attestation>,
}

struct World {
    network: Network,
    now: Time,
    /// Highest block that anybody executed; blocks outlive crashes.
    chain: u64,
    operators: Vec<Operator>,
    signed: BTreeMap<(u16, Height), Statement>,
    certified: BTreeMap<Height, Certificate>,
}

impl World {
    fn new() -> Self {
        let network = Network::new(0, &[3, 3, 3, 2]);
        let operators = (0..4).map(|i| start(&network, i, None)).collect();
        Self {
            network,
            now: Time(1_000_000),
            chain: 0,
            operators,
            signed: BTreeMap::new(),
            certified: BTreeMap::new(),
        }
    }

    fn act(&mut self, index: u16, act: Act) {
        let now = self.now;
        let operator = &mut self.operators[usize::from(index)];
        let mut out = Vec::new();
        match act {
            Act::Execute => {
                operator.executed += 1;
                self.chain = self.chain.max(operator.executed);
                let statement = statement(0, operator.executed);
                let input = aggregator::Input::Executed(statement);
                let input_attester = attester::Input::Executed {
                    statement,
                    member: Some(index),
                    timestamp_ms: operator.executed * 40,
                };
                operator.attester.step(now, input_attester, &mut out);
                self.aggregate(index, input);
            }
            Act::Sync => {
                if let Some((ticket, record)) = operator.writing.take() {
                    operator.disk = Some(record);
                    let durable = attester::Input::Durable { ticket };
                    operator.attester.step(now, durable, &mut out);
                }
            }
            Act::Crash => {
                let disk = operator.disk.clone();
                *operator = start(&self.network, index, disk);
            }
            Act::Deliver(pick) => {
                if !operator.inbox.is_empty() {
                    let place = usize::from(pick) % operator.inbox.len();
                    let attestation = operator.inbox.swap_remove(place);
                    self.receive(index, attestation);
                }
            }
            Act::Lose(pick) => {
                if !operator.inbox.is_empty() {
                    let place = usize::from(pick) % operator.inbox.len();
                    operator.inbox.swap_remove(place);
                }
            }
        }
        self.apply(index, out);
    }

    fn apply(&mut self, index: u16, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Persist { ticket, record } => {
                    self.operators[usize::from(index)].writing = Some((ticket, record));
                }
                Output::Attest(permit) | Output::Repeat(permit) => {
                    let attestation = self.network.keys[usize::from(index)].attest(&permit);
                    let statement = attestation.statement;
                    let before = self.signed.insert((index, statement.height), statement);
                    assert!(before.is_none_or(|before| before == statement));
                    for operator in &mut self.operators {
                        operator.inbox.push(attestation);
                    }
                }
                Output::Refused(refusal) => {
                    assert!(!matches!(refusal, squad_mach::Refusal::Contradiction(_)));
                }
            }
        }
    }

    fn receive(&mut self, index: u16, attestation: Attestation) {
        self.aggregate(
            index,
            aggregator::Input::Attestation {
                from: attestation.member,
                attestation: Box::new(attestation),
            },
        );
    }

    fn aggregate(&mut self, index: u16, input: aggregator::Input) {
        let mut out = Vec::new();
        let operator = &mut self.operators[usize::from(index)];
        operator.aggregator.step(self.now, input, &mut out);
        self.certificates(index, out);
    }

    fn certificates(&mut self, index: u16, out: Vec<Out>) {
        for output in out {
            let certificate = match output {
                Out::Certificate { certificate, .. } => *certificate,
                Out::Alert(aggregator::Alert::QuorumLost { .. })
                | Out::Alert(aggregator::Alert::QuorumRestored(_)) => continue,
                other => panic!("honest operators gave {other:?}"),
            };
            let valid = certificate.verify(&NETWORK, &self.network.committee);
            assert_eq!(valid, Ok(()));
            let height = certificate.statement.height;
            if let Some(known) = self.certified.get(&height) {
                assert_eq!(known.statement, certificate.statement);
            }
            self.certified.insert(height, certificate);
            let certified = attester::Input::Certified(height);
            let attester = &mut self.operators[usize::from(index)].attester;
            attester.step(self.now, certified, &mut Vec::new());
        }
    }

    fn tick(&mut self) {
        self.now = self.now.after(Duration::from_millis(10));
        for index in 0..4 {
            let mut out = Vec::new();
            let mut certificates = Vec::new();
            let operator = &mut self.operators[usize::from(index)];
            operator.attester.handle_timeout(self.now, &mut out);
            operator
                .aggregator
                .handle_timeout(self.now, &mut certificates);
            self.apply(index, out);
            self.certificates(index, certificates);
        }
    }

    /// Whoever missed a certificate gets it from others.
    fn gossip(&mut self, index: u16) {
        if let Some((_, newest)) = self.certified.last_key_value() {
            let input = aggregator::Input::Certificate(Box::new(newest.clone()));
            self.aggregate(index, input);
        }
    }

    /// No faults any more, and one more block for all.
    fn calm(&mut self) -> u64 {
        let last = self.chain + 1;
        for _ in 0..300 {
            for index in 0..4 {
                if self.operators[usize::from(index)].executed < last {
                    self.act(index, Act::Execute);
                }
                self.act(index, Act::Sync);
                self.gossip(index);
                while !self.operators[usize::from(index)].inbox.is_empty() {
                    self.act(index, Act::Deliver(0));
                }
            }
            self.tick();
        }
        last
    }
}

/// A process with an empty memory; it executes all blocks again.
fn start(network: &Network, index: u16, disk: Option<Vec<u8>>) -> Operator {
    let key = network.keys[usize::from(index)].public_key();
    let guard = SignGuard::restore(key, disk.as_deref()).unwrap();
    Operator {
        attester: Attester::new(AttesterConfig::default(), guard),
        aggregator: Aggregator::new(
            AggregatorConfig::default(),
            NETWORK,
            network.committee.clone(),
            Height::ZERO,
        ),
        executed: 0,
        disk,
        writing: None,
        inbox: Vec::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn honest_operators_agree_under_faults_and_certify_when_it_is_calm(
        acts in proptest::collection::vec((0..4_u16, act(), any::<bool>()), 100..400),
    ) {
        let mut world = World::new();
        for (index, act, tick) in acts {
            world.act(index, act);
            if tick {
                world.tick();
            }
        }
        let last = world.calm();
        for operator in &world.operators {
            prop_assert_eq!(operator.aggregator.certified(), Height(last));
        }
    }
}
