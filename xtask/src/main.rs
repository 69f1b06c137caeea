//! Repository chores: `cargo xtask <command>`.
//!
//! Nothing here is part of a node. Commands that read are safe at any time; `codegen` and `fix`
//! write into the working tree.

mod cargo;
mod check_deps;
mod codegen;
mod planted;
mod wire;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "xtask", about = "Code generation and repository checks")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compile the .proto files into the committed Rust code and descriptor set.
    Codegen {
        /// Write nothing; fail if the committed code differs.
        #[arg(long)]
        check: bool,
    },
    /// Check which crate uses which, and what the pure crates pull in.
    CheckDeps,
    /// Plant bugs into a copy of the committed tree; the simulator has to find each.
    Planted {
        /// Only those whose name starts so
        #[arg(long)]
        only: Option<String>,
    },
    /// Check formatting, lints and crate dependencies; changes nothing.
    Verify,
    /// Generate code, apply the compiler's suggestions, format.
    Fix,
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Codegen { check } => codegen::run(check),
        Command::CheckDeps => check_deps::run(),
        Command::Planted { only } => planted::run(only.as_deref()),
        Command::Verify => verify(),
        Command::Fix => fix(),
    }
}

fn verify() -> Result<()> {
    cargo::run(&["fmt", "--all", "--check"])?;
    check_deps::run()?;
    cargo::run(&[
        "clippy",
        "--release",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ])
}

fn fix() -> Result<()> {
    codegen::run(false)?;
    cargo::run(&[
        "clippy",
        "--release",
        "--workspace",
        "--all-targets",
        "--fix",
        "--allow-dirty",
        "--allow-staged",
    ])?;
    cargo::run(&["fmt", "--all"])
}
