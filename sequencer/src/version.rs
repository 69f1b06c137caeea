//! What is running.

/// Version of the program.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Commit that the program was built from, with `-dirty` if its sources had been changed; the build script
/// knows it.
pub(crate) const COMMIT: Option<&str> = option_env!("SQUAD_BUILD_COMMIT");
