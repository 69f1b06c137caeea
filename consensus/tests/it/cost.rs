//! What a view costs with real signatures. Prints figures and asserts none, because wall time on a
//! shared machine is noise: `cargo test --release -p squad-consensus --test it -- --ignored
//! --nocapture cost`.

use crate::net::tip;
use squad_consensus::{Config, Core, CutCheck, Input, LaneView, Output, Recovered};
use squad_primitives::committee::Member;
use squad_primitives::message::ConsensusMessage;
use squad_primitives::{
    Committee, Cut, Digest, Duration, Ed25519Verifier, Epoch, IdentityKey, Now, OperatorId, Signer,
    Stake, Time,
};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// Lanes that always have one more certified batch.
struct Busy(Vec<OperatorId>);

impl LaneView for Busy {
    fn propose(&mut self, _: Now, parent: &Cut, _: Epoch) -> Cut {
        let tips = self
            .0
            .iter()
            .map(|lane| tip(*lane, parent.seq(*lane).0 + 1));
        Cut::new(tips.collect())
    }

    fn check(&mut self, _: &Cut, _: &Cut, _: Epoch) -> CutCheck {
        CutCheck::Ok
    }

    fn uncovered(&mut self, _: Now, _: &Cut, _: &Cut) -> Option<OperatorId> {
        None
    }

    fn has_work(&self, _: &Cut) -> bool {
        true
    }
}

/// Delivers everything at once, in order, until the first replica has committed `blocks`.
fn run(members: u32, blocks: u64) -> (f64, f64) {
    let keys: Vec<_> = (0..members)
        .map(|index| Arc::new(IdentityKey::from_seed([u8::try_from(index).unwrap(); 32])))
        .collect();
    let committee = keys.iter().zip(0..).map(|(key, index)| Member {
        operator: OperatorId(index),
        key: key.public_key(),
        stake: Stake(1),
    });
    let committee = Committee::new(Epoch(0), committee.collect()).unwrap();
    let mut config = Config::new(Digest([3; 32]), 1_000_000);
    config.block_interval_min = Duration::ZERO;
    // A hundred replicas on one core are slower than any timer for one.
    config.view_timeout = Duration::from_secs(600);
    config.view_timeout_max = config.view_timeout;
    config.rebroadcast = config.view_timeout;
    let mut cores: Vec<_> = keys
        .iter()
        .zip(0..)
        .map(|(key, index)| {
            let signer: Arc<dyn Signer> = key.clone();
            Core::new(
                config.clone(),
                Some((OperatorId(index), signer)),
                Arc::new(Ed25519Verifier),
                committee.clone(),
                Recovered::genesis(),
            )
        })
        .collect();
    let mut lanes = Busy((0..members).map(OperatorId).collect());
    let mut queue: VecDeque<(usize, Input)> =
        (0..cores.len()).map(|to| (to, Input::Start)).collect();
    let mut committed = 0;
    let mut busy = Duration::ZERO;
    let start = Instant::now();
    let mut out = Vec::new();
    while committed < blocks {
        let (to, input) = queue.pop_front().expect("the network never rests");
        let begin = Instant::now();
        let elapsed_us = u64::try_from(start.elapsed().as_micros()).unwrap();
        let now = Now {
            time: Time(1_000_000 + elapsed_us),
            // Fast, because a timestamp grows by a millisecond per block at least.
            wall_ms: 1_700_000_000_000 + elapsed_us / 100,
        };
        cores[to].step(now, input, &mut lanes, &mut out);
        busy += begin.elapsed();
        for output in out.drain(..) {
            match output {
                Output::Persist { id, .. } => queue.push_front((to, Input::Persisted(id))),
                Output::Broadcast { message, .. } => {
                    for peer in (0..cores.len()).filter(|peer| *peer != to) {
                        queue.push_back((peer, received(to, message.clone())));
                    }
                }
                Output::Send {
                    to: peer, message, ..
                } => {
                    let peer = usize::try_from(peer.0).unwrap();
                    queue.push_back((peer, received(to, message)));
                }
                Output::Commit(_) if to == 0 => committed += 1,
                _ => {}
            }
        }
    }
    let rate = blocks as f64 / start.elapsed().as_secs_f64();
    let views = cores[0].status().at.view.0 as f64;
    let cost_ms = busy.as_secs_f64() * 1e3 / views / f64::from(members);
    (rate, cost_ms)
}

fn received(from: usize, message: ConsensusMessage) -> Input {
    Input::Message {
        from: OperatorId(u32::try_from(from).unwrap()),
        message,
    }
}

#[test]
#[ignore = "prints timings; nothing to fail"]
fn cost_of_a_view() {
    for (members, blocks) in [(4, 3_000), (20, 200), (100, 20)] {
        let (rate, cost_ms) = run(members, blocks);
        println!(
            "n = {members}: {rate:.0} commits/s of all replicas on one core, {cost_ms:.3} ms of \
             CPU per view and replica"
        );
    }
}
