//! `squad version`

use super::args::GlobalArgs;
use super::exit::Outcome;
use super::output;
use crate::version::{COMMIT, VERSION};
use serde::Serialize;
use squad_primitives::genesis::GENESIS_VERSION;

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
        version: VERSION,
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
