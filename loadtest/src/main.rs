//! The `squad-loadtest` command.

mod commands;

use clap::Parser;
use squad_loadtest::args::{Cli, Command};
use std::process::ExitCode;

/// A run or audit was made, and what it found is not acceptable.
const FAILED: u8 = 1;
/// The audit failed: something acknowledged is lost, doubled, or operators differ.
const AUDIT_FAILED: u8 = 14;
/// An operator is not reachable.
const UNREACHABLE: u8 = 11;
/// An operator belongs to another network.
const WRONG_NETWORK: u8 = 10;

fn main() -> ExitCode {
    // A dead pacing thread must not look like an idle network.
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        default(info);
        std::process::abort();
    }));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result =
        runtime
            .map_err(anyhow::Error::from)
            .and_then(|runtime| match Cli::parse().command {
                Command::Run(args) => runtime.block_on(commands::run(&args)),
                Command::Sweep(args) => runtime.block_on(commands::sweep(&args)),
                Command::Audit(args) => runtime.block_on(commands::audit(&args)),
                Command::Compare(args) => commands::compare(&args),
                Command::PrepareMainnet(args) => commands::prepare(&args),
            });
    match result {
        Ok(0) => ExitCode::SUCCESS,
        Ok(code) => code.into(),
        Err(error) => {
            eprintln!("squad-loadtest: {error:#}");
            commands::exit_code(&error).into()
        }
    }
}
