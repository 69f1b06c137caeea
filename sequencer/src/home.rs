//! The home directory of a node.
//!
//! ```text
//! config/node.toml  config/genesis.json
//! keys/identity.json  keys/finality.json    0600 in 0700
//! data/                                     made and locked by the storage
//! LOCK                                      held while a process lives
//! ```

use std::path::{Path, PathBuf};

/// Paths below a home directory.
#[derive(Clone, Debug)]
pub struct Home(PathBuf);

impl Home {
    /// The home directory at `root`, which need not exist.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self(root.into())
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// `config/node.toml`.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.0.join("config/node.toml")
    }

    /// `config/genesis.json`.
    #[must_use]
    pub fn genesis_file(&self) -> PathBuf {
        self.0.join("config/genesis.json")
    }

    /// A path of the configuration: absolute, or relative to the home directory.
    #[must_use]
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.0.join(path)
    }
}
