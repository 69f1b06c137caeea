//! Certificates over the blocks of a test node.

use super::TestNode;
use super::network::finality_key;
use crate::node::mach::statement_of;
use crate::node::pipeline::Executed;
use squad_mach::aggregator::{Input, Output};
use squad_mach::guard::Prepared;
use squad_mach::{Aggregator, AggregatorConfig, Certificate, SignGuard};
use squad_primitives::{Height, Time};
use squad_storage::{Changes, Database, Store as _, Table};

impl TestNode {
    /// Notes what operators attest about a block.
    pub(super) fn remember(&self, executed: &Executed) {
        let Some(finality) = &self.handle.finality else {
            return;
        };
        let block = &executed.block;
        let committee = finality.committee(block.result.epoch);
        let root = executed.rollups_root;
        let statement = statement_of(&self.network, &committee, block, root);
        let mut statements = self.statements.lock().unwrap();
        statements.insert(block.height(), statement);
    }

    /// Certifies the result of a block with the keys of operators 0 to 2 and makes it known.
    pub(crate) fn certify(&self, height: u64) -> Certificate {
        let statement = self.statements.lock().unwrap()[&Height(height)];
        let finality = self.handle.finality.as_ref().unwrap();
        let committee = finality.committee(statement.epoch);
        let config = AggregatorConfig::default();
        let mut aggregator = Aggregator::new(config, self.network, committee, Height::ZERO);
        let mut out = Vec::new();
        aggregator.step(Time(1), Input::Executed(statement), &mut out);
        for member in 0..3 {
            let key = finality_key(member);
            let mut guard = SignGuard::restore(key.public_key(), None).unwrap();
            let Ok(Prepared::Record { ticket, .. }) = guard.prepare(member, statement) else {
                panic!("nothing was signed before");
            };
            let attestation = Box::new(key.attest(&guard.durable(ticket).unwrap()));
            let input = Input::Attestation {
                from: member,
                attestation,
            };
            aggregator.step(Time(1), input, &mut out);
        }
        let Some(Output::Certificate { certificate, .. }) = out.pop() else {
            panic!("three of four are a quorum");
        };
        let mut changes = Changes::new(Database::Main);
        let key = height.to_be_bytes();
        changes.put(Table::Certificates, key, certificate.to_bytes());
        self.store.commit(changes, Box::new(|| {}));
        finality.publish((*certificate).clone());
        *certificate
    }
}
