//! CPU time of the benchmark's thread in place of wall time: on a machine that does other things too,
//! wall time measures those. All benchmarks run in one thread.

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use squad_benches::cpu;
use std::time::Duration;

static FORMATTER: WallTime = WallTime;

/// CPU time of the calling thread.
pub(crate) struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        cpu::thread()
    }

    fn end(&self, start: Duration) -> Duration {
        cpu::thread().saturating_sub(start)
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        FORMATTER.formatter()
    }
}
