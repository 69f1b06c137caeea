//! Tells `squad version` the commit that it is built from: `SQUAD_COMMIT` if the environment has it, as in
//! a build without the repository, else what git says. A source archive without either builds as well,
//! and says that the commit is unknown.
//!
//! Runs again when the head moves or a source of the binary changes, which compiles this crate again
//! anyway; never because of tests of other crates or of documents. So `-dirty` is always true: sources
//! differ from the commit.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What the binary is made of, relative to the root of the workspace.
const SOURCES: [&str; 20] = [
    "Cargo.lock",
    "Cargo.toml",
    "client/Cargo.toml",
    "client/src",
    "consensus/Cargo.toml",
    "consensus/src",
    "mempool/Cargo.toml",
    "mempool/src",
    "network/Cargo.toml",
    "network/src",
    "primitives/Cargo.toml",
    "primitives/src",
    "proto/Cargo.toml",
    "proto/src",
    "rust-toolchain.toml",
    "sequencer/Cargo.toml",
    "sequencer/build.rs",
    "sequencer/src",
    "storage/Cargo.toml",
    "storage/src",
];

fn main() {
    println!("cargo::rerun-if-env-changed=SQUAD_COMMIT");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for source in SOURCES {
        watch(&root.join(source));
    }
    let told = std::env::var("SQUAD_COMMIT").ok();
    let told = told.filter(|commit| !commit.is_empty());
    if let Some(commit) = told.or_else(|| commit_of(&root)) {
        println!("cargo::rustc-env=SQUAD_BUILD_COMMIT={commit}");
    }
}

/// Cargo would run us each time for a file that is not there.
fn watch(path: &Path) {
    if path.exists() {
        println!("cargo::rerun-if-changed={}", path.display());
    }
}

/// The head of the repository or worktree at `root`, if that is one.
fn commit_of(root: &Path) -> Option<String> {
    // An archive may have been unpacked inside a repository of something else.
    let top = PathBuf::from(git(root, &["rev-parse", "--show-toplevel"])?);
    if top.canonicalize().ok()? != root.canonicalize().ok()? {
        return None;
    }
    let commit = git(root, &["rev-parse", "HEAD"])?;
    // The log of a worktree's head grows with every commit, checkout and merge; the files below are for
    // repositories that keep none.
    let mut moves = vec!["HEAD".to_owned(), "logs/HEAD".to_owned()];
    if let Some(branch) = git(root, &["symbolic-ref", "--quiet", "HEAD"]) {
        moves.extend([branch, "packed-refs".to_owned()]);
    }
    for name in moves {
        watch(&root.join(git(root, &["rev-parse", "--git-path", &name])?));
    }
    let mut status = vec!["status", "--porcelain", "--untracked-files=no", "--"];
    status.extend(SOURCES);
    let dirty = !git(root, &status)?.is_empty();
    Some(if dirty {
        format!("{commit}-dirty")
    } else {
        commit
    })
}

/// Output of a command of git, which takes no locks and looks at this directory whatever a hook says.
fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .args(["--no-optional-locks", "-C"])
        .arg(root)
        .args(arguments)
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim_end().to_owned())
}
