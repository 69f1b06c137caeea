//! The simulated disk keeps what was synced, and of the rest a prefix.

use squad_mempool::LaneRecord;
use squad_primitives::{BatchSeq, Digest, OperatorId, Tip};
use squad_simulator::disk::{Change, Disk, File, Write};
use squad_simulator::node::Done;
use squad_simulator::random::Random;

fn record(seq: u64) -> Write {
    let acked = Tip {
        lane: OperatorId(1),
        seq: BatchSeq(seq),
        digest: Digest([1; 32]),
    };
    Write {
        change: Change::Lane(LaneRecord { acked }),
        sync: true,
        done: Done::Nothing,
    }
}

fn durable(disk: &Disk) -> u64 {
    disk.image
        .lanes
        .get(&OperatorId(1))
        .map_or(0, |record| record.acked.seq.0)
}

#[test]
fn a_group_takes_what_waits_when_it_starts() {
    let mut disk = Disk::default();
    assert!(
        disk.append(File::Safety, record(1)),
        "the first write starts a group"
    );
    assert!(!disk.append(File::Safety, record(2)));
    assert!(!disk.append(File::Safety, record(3)));
    assert_eq!(durable(&disk), 0);
    let (done, more) = disk.finish(File::Safety);
    assert_eq!((done.len(), more, durable(&disk)), (1, true, 1));
    let (done, more) = disk.finish(File::Safety);
    assert_eq!((done.len(), more, durable(&disk)), (2, false, 3));
}

#[test]
fn a_crash_keeps_what_was_synced_and_a_prefix_of_the_rest() {
    let mut kept = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let mut disk = Disk::default();
        for seq in 1..=5 {
            disk.append(File::Safety, record(seq));
        }
        disk.finish(File::Safety);
        let lost = disk.crash(&mut Random::stream(seed, "test"), true);
        assert_eq!(durable(&disk), 1 + lost.kept);
        assert_eq!(lost.kept + lost.lost, 4);
        kept.insert(lost.kept);
    }
    assert_eq!(kept.len(), 5, "nothing, all, and everything between");
    let mut disk = Disk::default();
    disk.append(File::Safety, record(1));
    disk.crash(&mut Random::stream(0, "test"), false);
    assert_eq!(durable(&disk), 0);
}
