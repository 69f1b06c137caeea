//! Evidence is valid and names only operators that don't follow the protocol; and honest operators never
//! send what another honest one takes for a forgery.

use super::{Ground, Invariant};
use crate::observe::Seen;
use squad_primitives::Evidence;

#[derive(Debug, Default)]
pub(super) struct OnlyGuilty;

impl Invariant for OnlyGuilty {
    fn name(&self) -> &'static str {
        "evidence"
    }

    fn see(&mut self, ground: &Ground<'_>, _: usize, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::Evidence(evidence) => {
                let accused = evidence.operator();
                if ground.is_honest(accused) {
                    return Err(format!(
                        "evidence against {accused}, who is honest: {evidence:?}"
                    ));
                }
                let epoch = match evidence {
                    Evidence::Votes(first, _) => first.statement.at.epoch,
                    Evidence::Lane(first, _) => first.header.epoch,
                    _ => return Ok(()),
                };
                let committee = ground.facts.committee.in_epoch(epoch);
                if evidence.verify(&ground.facts.network, &committee, &*ground.facts.verifier) {
                    Ok(())
                } else {
                    Err(format!("evidence that proves nothing: {evidence:?}"))
                }
            }
            Seen::Accused(accused, fault) if ground.is_honest(*accused) => {
                Err(format!("accuses {accused}, who is honest: {fault}"))
            }
            _ => Ok(()),
        }
    }
}
