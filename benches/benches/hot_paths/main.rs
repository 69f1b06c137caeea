//! Micro-benchmarks of the hot paths, named `component/operation/size`.
//!
//! ```text
//! cargo bench -p squad-benches --bench hot_paths                 all, about two minutes
//! cargo bench -p squad-benches --bench hot_paths -- certificate  those whose name contains this
//! ```
//!
//! Sizes: `1000x512` is a batch of 1,000 transactions with payloads of 512 bytes; 4, 20 and 100 are
//! committees. Signatures are Ed25519 everywhere. Times are CPU time of one core.

mod batch;
mod certificate;
mod consensus;
mod cpu_time;
mod evidence;
mod mempool;
mod merkle;
mod peer;

use cpu_time::CpuTime;
use criterion::Criterion;
use std::time::Duration;

/// Committee sizes.
const COMMITTEES: [usize; 3] = [4, 20, 100];

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .with_measurement(CpuTime)
        .configure_from_args();
    batch::bench(&mut criterion);
    merkle::bench(&mut criterion);
    peer::bench(&mut criterion);
    certificate::bench(&mut criterion);
    evidence::bench(&mut criterion);
    consensus::bench(&mut criterion);
    mempool::bench(&mut criterion);
    criterion.final_summary();
}
