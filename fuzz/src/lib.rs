//! The harness of the fuzz targets. A target is a test of the crate whose bytes it feeds; this crate
//! is a dev-dependency and nothing else.
//!
//! - [`run`] repeats a property on random input until a budget of time is used up. In `cargo test`
//!   that is [`SECONDS_DEFAULT`] per target; `SQUAD_FUZZ_SECONDS` sets another budget for long runs.
//!   A failure prints a seed, and `ARBTEST_SEED=<seed> cargo test --release -p <crate> -- <test>`
//!   repeats it: corpora are the same in each run, all choices come from the seed.
//! - [`damage`] makes bytes that are nearly valid out of valid ones, [`damage_protobuf`] does so along
//!   the fields of a message, [`damage_text`] along the tokens of JSON and TOML. [`hostile`] mixes
//!   them with noise.
//! - [`bounded`] runs a decoder and fails when it held more memory than its input justifies. Including
//!   this crate replaces the global allocator by one that counts per thread. [`held_bytes`] is for
//!   floods: what is left in memory after them.
//!
//! The engine is `arbtest`, which needs no instrumentation and so runs on the stable toolchain. It
//! doesn't learn from coverage. `bolero` on a stable toolchain without an engine of its own does not
//! either, so it would add a dependency and find the same; the properties take an `Unstructured`, as
//! coverage-guided engines give it, should one be wanted later.
#![forbid(unsafe_code)]

mod bytes;
mod memory;
mod text;
mod wire;

pub use arbtest::arbitrary::{Error, Result, Unstructured};
pub use bytes::{damage, hostile, noise};
pub use memory::{Bound, bounded, held_bytes};
pub use text::damage_text;
pub use wire::damage_protobuf;

use std::time::{Duration, Instant};

/// Seconds per target in `cargo test`.
pub const SECONDS_DEFAULT: u64 = 2;
/// Environment variable with another number of seconds per target.
pub const SECONDS_VARIABLE: &str = "SQUAD_FUZZ_SECONDS";
/// Random bytes that one run may use up.
const ENTROPY_BYTES: u32 = 4 << 10;

/// Runs `property` on random input until the budget is used up. The property panics when it does not
/// hold, and returns whether the input got all the way through (was accepted by the decoder), which
/// is reported: a target that accepts nothing tests little.
///
/// # Panics
/// When the property does, after printing the seed; and on a budget that is no number of seconds.
pub fn run(target: &str, property: impl FnMut(&mut Unstructured<'_>) -> Result<bool>) {
    run_with(target, ENTROPY_BYTES, property);
}

/// [`run`] with another number of random bytes: sequences need more.
///
/// # Panics
/// See [`run`].
pub fn run_with(
    target: &str,
    entropy_bytes: u32,
    mut property: impl FnMut(&mut Unstructured<'_>) -> Result<bool>,
) {
    let start = Instant::now();
    let (mut runs, mut through) = (0_u64, 0_u64);
    arbtest::arbtest(|u| {
        runs += 1;
        through += u64::from(property(u)?);
        Ok(())
    })
    .size_min(entropy_bytes.min(256))
    .size_max(entropy_bytes)
    .budget(budget())
    .run();
    let seconds = start.elapsed().as_secs_f64();
    eprintln!("fuzz {target}: {runs} runs, {through} all the way through, {seconds:.1} s");
}

fn budget() -> Duration {
    let seconds = match std::env::var(SECONDS_VARIABLE) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{SECONDS_VARIABLE}: {text:?} is no number of seconds")),
        Err(_) => SECONDS_DEFAULT,
    };
    Duration::from_secs(seconds)
}
