//! The command line: noun, then verb. Each command is a thin view; what it does lives elsewhere.

mod args;
mod block;
mod completions;
mod config;
mod connect;
mod db;
mod exit;
mod finality;
mod genesis;
mod init;
mod keys;
mod localnet;
mod output;
mod proof;
mod start;
mod status;
mod tx;
mod verify;
mod version;

pub use exit::Code;
pub(crate) use status::is_ready;

use args::GlobalArgs;
use clap::{CommandFactory as _, Parser, Subcommand};
use exit::Outcome;
use std::process::ExitCode;

/// A decentralized sequencer for rollups.
#[derive(Debug, Parser)]
#[command(name = "squad", version = crate::version::VERSION, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: GlobalArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a home directory: configuration, genesis, keys
    Init(init::InitArgs),
    /// Run a node
    Start(start::StartArgs),
    /// Show the status of a running node
    Status(status::StatusArgs),
    /// Run a whole network on this machine
    #[command(subcommand)]
    Localnet(localnet::LocalnetCommand),
    /// Make and show key files
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Make and check the genesis of a network
    #[command(subcommand)]
    Genesis(genesis::GenesisCommand),
    /// Show and check the configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Inspect and prune the data of a stopped node
    #[command(subcommand)]
    Db(db::DbCommand),
    /// Submit and follow transactions
    #[command(subcommand)]
    Tx(tx::TxCommand),
    /// Look at ordered blocks
    #[command(subcommand)]
    Block(block::BlockCommand),
    /// Certificates and proofs of finality, and alerts
    #[command(subcommand)]
    Finality(finality::FinalityCommand),
    /// Check certificates and proofs of finality from files, without a connection
    Verify(verify::VerifyArgs),
    /// Show version, commit and formats
    Version,
    /// Print the completion script of a shell
    Completions(completions::CompletionsArgs),
}

/// Runs the command of the process' arguments.
pub fn main() -> ExitCode {
    crate::logging::abort_on_panic();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() {
                ExitCode::from(Code::Usage.number())
            } else {
                ExitCode::SUCCESS
            };
            // Nothing is left to do if the terminal is closed.
            drop(error.print());
            return code;
        }
    };
    let format = cli.global.format;
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::print_failure(format, &failure);
            ExitCode::from(failure.code.number())
        }
    }
}

fn run(cli: Cli) -> Outcome {
    let global = cli.global;
    match cli.command {
        Command::Init(args) => init::run(&global, args),
        Command::Start(args) => start::run(&global, &args),
        Command::Status(args) => status::run(&global, &args),
        Command::Localnet(command) => localnet::run(&global, command),
        Command::Keys(command) => keys::run(&global, command),
        Command::Genesis(command) => genesis::run(&global, command),
        Command::Config(command) => config::run(&global, &command),
        Command::Db(command) => db::run(&global, &command),
        Command::Tx(command) => tx::run(&global, command),
        Command::Block(command) => block::run(&global, &command),
        Command::Finality(command) => finality::run(&global, command),
        Command::Verify(args) => verify::run(&global, &args),
        Command::Version => version::run(&global),
        Command::Completions(args) => completions::run(args, &mut Cli::command()),
    }
}

/// The help of every command as Markdown, keyed by file name: what `docs/cli/` holds.
#[must_use]
pub fn reference_pages() -> Vec<(String, String)> {
    completions::reference_pages(Cli::command())
}
