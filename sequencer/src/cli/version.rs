//! `squad version`

use super::args::GlobalArgs;
use super::exit::Outcome;
use super::output;
use serde::Serialize;
use squad_primitives::genesis::GENESIS_VERSION;

/// Version of the program.
pub(crate) const SHORT: &str = env!("CARGO_PKG_VERSION");

/// Commit that the program was built from, with `-dirty` if its sources had been changed; the build script
/// knows it.
const COMMIT: Option<&str> = option_env!("SQUAD_BUILD_COMMIT");

#[derive(Serialize)]
struct Version {
    version: &'static str,
    commit: Option<&'static str>,
    genesis_format: u32,
    storage_format: u32,
}

/// Prints the version.
pub(crate) fn run(global: &GlobalArgs) -> Outcome {
    let version = Version {
        version: SHORT,
        commit: COMMIT,
        genesis_format: GENESIS_VERSION,
        storage_format: squad_storage::FORMAT,
    };
    let text = format!(
        "squad {}\ncommit         {}\ngenesis format {}\nstorage format {}",
        version.version,
        version
            .commit
            .unwrap_or("unknown (built without repository and SQUAD_COMMIT)"),
        version.genesis_format,
        version.storage_format,
    );
    output::print(global.format, &text, &version)
}
