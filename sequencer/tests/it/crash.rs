//! Crashes under load: operators are killed as `kill -9` does, while four of them order 2,000
//! transactions per second. What was acknowledged stays, whoever acknowledged it, and the others go on.
//!
//! How long the others pause is counted in views without a block, which does not depend on how fast the
//! machine is. Leaders change with every view; the turn of a dead one costs its own view, and the view
//! before it if it was the one to collect that view's votes. So between two blocks there are never as
//! many lost views as a round of leaders has. The pauses in milliseconds are printed and not judged.

use crate::load::{Load, QUIET, ROLLUPS};
use crate::net::{Localnet, PATIENCE};
use crate::watch::{Pauses, Seen, Watch};
use rustix::process::Signal;
use std::path::Path;
use std::time::{Duration, Instant};

const RATE: u64 = 2_000;
const DURATION: Duration = Duration::from_secs(12);
const OPERATORS: u64 = 4;
/// Transactions that one operator alone has accepted when it dies.
const ENTRUSTED: usize = 200;
/// Blocks that must follow a crash before the next step.
const AFTERWARDS: usize = 100;
/// Batches of each lane that an operator misses: more than lanes want at one time.
const MISSED: u64 = 1_500;
/// Load for as long as that takes, at 50 batches per second and lane.
const ABSENCE: Duration = Duration::from_secs(30);

/// The blocks from one second before a crash to the last one with transactions.
fn around(blocks: &[Seen], crash: u64) -> &[Seen] {
    let busy = |block: &Seen| block.transactions > 0;
    let last = blocks.iter().rposition(busy).expect("blocks under load");
    let first = (crash as usize).saturating_sub(100);
    &blocks[first..=last]
}

/// Whether an operator takes part in blocks above `height`: its lane moves on, and it signs.
fn takes_part(blocks: &[Seen], operator: usize, height: u64) -> bool {
    let before = blocks[height as usize - 1].lane(operator);
    let mut since = blocks.iter().filter(|block| block.height > height);
    let signs = |block: &Seen| block.signers.contains(&(operator as u32));
    since.clone().any(signs) && since.any(|block| block.lane(operator) > before)
}

/// Gives each operator transactions that nobody else gets, operator 2 last, and returns their ids once it
/// has acknowledged them.
async fn promises(net: &Localnet) -> Vec<Vec<u8>> {
    let mut promised = Vec::new();
    for node in [3, 0, 1, 2] {
        promised.extend(net.entrust(node, QUIET, ENTRUSTED).await);
    }
    promised
}

/// One of four operators dies under load and comes back. `choose` picks it at the moment when it is to
/// die; `meanwhile` happens to its home.
async fn one_crashes(
    what: &str,
    choose: impl AsyncFnOnce(&Localnet) -> usize,
    meanwhile: impl FnOnce(&Path),
) {
    let net = Localnet::up(&[ROLLUPS]);
    let mut watch = Watch::start(&net, &[0, 1, 2, 3]);
    let load = Load::start(&net, 1, RATE, DURATION);
    watch.busy_blocks(AFTERWARDS).await;

    // They have been acknowledged, by one operator each, and are on their way to a block.
    let promised = promises(&net).await;
    let victim = choose(&net).await;
    net.kill(&[victim]);
    let crash = watch.height();
    watch.busy_blocks(AFTERWARDS).await;

    meanwhile(&net.node(victim).home);
    net.restart(victim);
    let back = watch.height();
    net.all_ordered((victim + 1) % 4, &promised).await;
    watch
        .until("the restarted operator's part in blocks", |blocks| {
            takes_part(blocks, victim, back)
        })
        .await;
    let outcome = load.audit();
    println!("{what}, number {victim}: {outcome}");
    outcome.assert_clean();
    let pauses = Pauses::of(around(&watch.blocks(), crash));
    println!("{what}, number {victim}: {pauses}");
    assert!(pauses.views < OPERATORS, "{pauses:?}");
    net.assert_calm();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_operator_that_crashes_stops_nobody_and_keeps_its_promises() {
    one_crashes("an operator that did not lead", idle_operator, |_| {}).await;
}

async fn idle_operator(net: &Localnet) -> usize {
    let victim = 2;
    while net.leader(0).await.operator_id as usize == victim {}
    victim
}

/// What the operator guide says of a damaged database: all of it can be made again. The audit reads every
/// block of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_operator_without_its_database_makes_it_again_and_keeps_its_promises() {
    one_crashes("an operator without database", idle_operator, |home| {
        std::fs::remove_dir_all(home.join("data/db")).expect("it had one");
    })
    .await;
}

/// Stops an operator inside its own turn as leader: it has said that it leads, it stands still, and
/// another operator is in that very view. A view lasts about ten milliseconds, too short to aim at from
/// outside without stopping it first.
async fn freeze_leader(net: &Localnet) -> usize {
    let deadline = Instant::now() + PATIENCE;
    for node in (0..4).cycle() {
        assert!(
            Instant::now() < deadline,
            "no leader was caught in its turn"
        );
        let turn = net.leader(node).await;
        if turn.operator_id as usize != node {
            continue;
        }
        let process = net.process(node);
        process.signal(Signal::STOP).expect("our own process");
        if net.leader((node + 1) % 4).await == turn {
            return node;
        }
        process.signal(Signal::CONT).expect("our own process");
    }
    unreachable!("the cycle has no end")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_leader_that_crashes_in_its_turn_costs_little_more_than_the_turn() {
    one_crashes("a leader in its turn", freeze_leader, |_| {}).await;
}

/// Whoever was away for so long collects what it missed in several steps, and is then one of them again.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_operator_that_was_away_for_long_gets_in_step() {
    const ABSENT: usize = 2;
    let net = Localnet::up(&[ROLLUPS]);
    let mut watch = Watch::start(&net, &[0, 1, 2, 3]);
    let load = Load::start(&net, 1, RATE, ABSENCE);
    watch.busy_blocks(AFTERWARDS).await;

    net.kill(&[ABSENT]);
    let gone = watch.height();
    let missed = |blocks: &[Seen], lane| {
        let last = blocks.last().map_or(0, |block| block.lane(lane));
        last - blocks[gone as usize - 1].lane(lane)
    };
    watch
        .until("batches that are missed", |blocks| {
            [0, 1, 3].iter().all(|lane| missed(blocks, *lane) > MISSED)
        })
        .await;
    net.restart(ABSENT);
    let back = watch.height();
    watch
        .until("the absent operator's part in blocks", |blocks| {
            takes_part(blocks, ABSENT, back)
        })
        .await;
    let outcome = load.audit();
    println!("away for {} blocks: {outcome}", back - gone);
    outcome.assert_clean();
    net.assert_calm();
}

/// With all of them dead at the same moment nothing is left but what is on their disks.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_network_that_crashes_as_a_whole_keeps_what_it_acknowledged() {
    let net = Localnet::up(&[ROLLUPS]);
    let mut watch = Watch::start(&net, &[0, 1, 2, 3]);
    let load = Load::start(&net, 1, RATE, DURATION);
    watch.busy_blocks(AFTERWARDS).await;

    let promised = promises(&net).await;
    net.kill(&[0, 1, 2, 3]);
    let crash = watch.height();
    net.localnet(&["up", "--keep", "--detach"]).ok();
    for node in 0..4 {
        net.all_ordered(node, &promised).await;
    }
    watch.busy_blocks(AFTERWARDS).await;

    let outcome = load.audit();
    println!("all operators: {outcome}");
    outcome.assert_clean();
    let pauses = Pauses::of(around(&watch.blocks(), crash));
    println!("all operators: {pauses}");
    net.assert_calm();
}
