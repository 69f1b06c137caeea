//! Calls to the cargo that started us.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context, Result, ensure};

fn command(arguments: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.args(arguments);
    command
}

/// Runs cargo with the output of the child on our own terminal.
///
/// # Errors
/// When cargo cannot be started or exits with a failure.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    eprintln!("xtask: cargo {}", arguments.join(" "));
    let status = command(arguments).status().context("cannot start cargo")?;
    ensure!(status.success(), "cargo {} failed", arguments.join(" "));
    Ok(())
}

/// Runs cargo and returns what it printed.
///
/// # Errors
/// When cargo cannot be started, exits with a failure or prints something that is not UTF-8.
pub(crate) fn output(arguments: &[&str]) -> Result<String> {
    let output = command(arguments).output().context("cannot start cargo")?;
    ensure!(
        output.status.success(),
        "cargo {} failed: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    String::from_utf8(output.stdout).context("cargo printed something that is not UTF-8")
}
