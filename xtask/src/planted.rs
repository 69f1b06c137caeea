//! Testing the tests: small wrong changes of the cores, each of which the simulator has to find.
//!
//! Each `simulator/planted/NN-name.patch` starts with what is wrong (`bug:`), which of its rules the
//! simulator has to see broken (`finds:`, any of several), and how it is run (`options:`). The patch is
//! applied to a copy of the committed tree, so that nothing planted can reach a build of ours; a patch that
//! no longer applies is an error too.

use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Seeds within which each bug has to be found.
const SEEDS: u64 = 1_000;

/// A planted bug.
#[derive(Debug, PartialEq, Eq)]
struct Planted {
    name: String,
    bug: String,
    finds: Vec<String>,
    options: Vec<String>,
}

fn parse(name: &str, text: &str) -> Result<Planted> {
    let head = |key: &str| {
        let mut lines = text.lines().take_while(|line| !line.is_empty());
        lines.find_map(|line| line.strip_prefix(key)).map(str::trim)
    };
    let finds = head("finds:").with_context(|| format!("{name}: no line `finds:`"))?;
    Ok(Planted {
        name: name.to_owned(),
        bug: head("bug:")
            .with_context(|| format!("{name}: no line `bug:`"))?
            .to_owned(),
        finds: finds
            .split(',')
            .map(|rule| rule.trim().to_owned())
            .collect(),
        options: head("options:")
            .unwrap_or_default()
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
    })
}

/// Plants each bug, or those whose name starts with `only`, and prints how many seeds each took.
///
/// # Errors
/// A bug was not found, or its patch doesn't apply.
pub(crate) fn run(only: Option<&str>) -> Result<()> {
    let mut patches: Vec<PathBuf> = std::fs::read_dir("simulator/planted")
        .context("simulator/planted")?
        .map(|entry| Ok(std::path::absolute(entry?.path())?))
        .collect::<Result<_>>()?;
    patches.sort();
    let tree = copy_of_head()?;
    let mut missed = Vec::new();
    println!("| planted bug | found by | seeds needed |\n|---|---|---|");
    for patch in patches {
        let name = patch
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default()
            .to_owned();
        if !name.starts_with(only.unwrap_or_default()) {
            continue;
        }
        let planted = parse(&name, &std::fs::read_to_string(&patch)?)?;
        match find(&planted, &patch, &tree) {
            Ok(Some((rule, seeds))) => println!("| {name}: {} | {rule} | {seeds} |", planted.bug),
            Ok(None) => {
                println!("| {name}: {} | not found | {SEEDS} |", planted.bug);
                missed.push(name);
            }
            Err(error) => {
                println!("| {name}: {} | {error:#} | |", planted.bug);
                missed.push(name);
            }
        }
    }
    ensure!(missed.is_empty(), "not found: {}", missed.join(", "));
    Ok(())
}

/// A copy of the committed tree. Extracted with the time of now: cargo goes by times, and what a patch had
/// changed must not look older than what was built of it.
fn copy_of_head() -> Result<PathBuf> {
    let tree = std::path::absolute("target/planted/tree")?;
    if tree.exists() {
        std::fs::remove_dir_all(&tree)?;
    }
    std::fs::create_dir_all(&tree)?;
    let archive = tree.with_extension("tar");
    call(
        Command::new("git")
            .args(["archive", "--output"])
            .arg(&archive)
            .arg("HEAD"),
    )?;
    call(
        Command::new("tar")
            .arg("-xmf")
            .arg(&archive)
            .arg("-C")
            .arg(&tree),
    )?;
    Ok(tree)
}

/// Applies a patch, or takes it back.
fn apply(tree: &Path, patch: &Path, reverse: &[&str]) -> Result<()> {
    call(
        Command::new("patch")
            .args(["-p1", "--quiet"])
            .args(reverse)
            .arg("--input")
            .arg(patch)
            .current_dir(tree),
    )
}

/// Rule that was broken first, and how many seeds that took.
fn find(planted: &Planted, patch: &Path, tree: &Path) -> Result<Option<(String, u64)>> {
    apply(tree, patch, &[]).with_context(|| format!("{} no longer applies", planted.name))?;
    let found = run_planted(planted, tree);
    apply(tree, patch, &["--reverse"])?;
    found
}

fn run_planted(planted: &Planted, tree: &Path) -> Result<Option<(String, u64)>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    call(
        Command::new(&cargo)
            .args([
                "build",
                "--release",
                "--quiet",
                "--package",
                "squad-simulator",
            ])
            .env("CARGO_TARGET_DIR", "../target")
            .current_dir(tree),
    )?;
    let output = Command::new(tree.join("../target/release/squad-simulator"))
        .args(["many", "--first", "--jobs", "1", "--seeds"])
        .arg(format!("0..{SEEDS}"))
        .args(&planted.options)
        .env("RUST_BACKTRACE", "0")
        .output()?;
    if output.status.success() {
        return Ok(None);
    }
    let told = String::from_utf8_lossy(&output.stderr);
    let failure = told.lines().find_map(first_failure);
    let Some((seed, rule)) = failure else {
        bail!("{}: the simulator failed otherwise: {told}", planted.name);
    };
    ensure!(
        planted.finds.contains(&rule),
        "{}: found by {rule}, expected {:?}",
        planted.name,
        planted.finds
    );
    Ok(Some((rule, seed + 1)))
}

/// Seed and rule of a line like `seed 7: agreement at 1.0 s: …`.
fn first_failure(line: &str) -> Option<(u64, String)> {
    let (seed, rest) = line.strip_prefix("seed ")?.split_once(": ")?;
    let (rule, _) = rest.split_once(" at ")?;
    Some((seed.parse().ok()?, rule.to_owned()))
}

fn call(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "{command:?} failed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_a_patch_says_what_has_to_be_found() {
        let text = "bug: a wrong sign\nfinds: agreement, panic\noptions: --views 9\n\n--- a/x\n";
        let planted = parse("01-sign", text).unwrap();
        assert_eq!(planted.finds, ["agreement", "panic"]);
        assert_eq!(planted.options, ["--views", "9"]);
        assert!(parse("02-empty", "--- a/x\n").is_err());
    }

    #[test]
    fn the_first_failure_is_read() {
        let line = "seed 12: vote-once at 3.25 s: 1: votes twice";
        assert_eq!(first_failure(line), Some((12, "vote-once".to_owned())));
        assert_eq!(first_failure("thread panicked"), None);
    }
}
