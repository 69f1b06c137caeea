//! `squad genesis`

use super::args::{GlobalArgs, read_genesis, read_genesis_unchecked};
use super::exit::{Code, Failure, OrExit as _, Outcome, problems};
use super::init::create_file;
use super::output;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use squad_primitives::genesis::{
    ConsensusParams, ExecutorKind, FinalityKey, FinalityPossession, GENESIS_VERSION, Genesis,
    GenesisFinality, GenesisOperator, GenesisRollup, OrderPolicy, Params, Problem, SealedPolicy,
};
use squad_primitives::{PublicKey, RollupId, Stake};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Blocks per epoch of new genesis files, without and with `--dev`.
const EPOCH_LENGTH_BLOCKS: u64 = 20_000;
const EPOCH_LENGTH_BLOCKS_DEV: u64 = 200;

/// Make and check the genesis of a network
#[derive(Debug, Subcommand)]
pub(crate) enum GenesisCommand {
    /// Make a genesis without operators
    New(NewArgs),
    /// Add an operator; its number is its place in the list
    AddOperator(Box<AddOperatorArgs>),
    /// Add a rollup
    AddRollup(AddRollupArgs),
    /// Check all rules
    Validate(FileArgs),
    /// Print the network id
    Hash(FileArgs),
}

/// The file that a verb works on.
#[derive(Debug, Args)]
pub(crate) struct FileArgs {
    /// Genesis file [default: config/genesis.json in the home directory]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl FileArgs {
    fn path(&self, global: &GlobalArgs) -> Outcome<PathBuf> {
        match &self.file {
            Some(path) => Ok(path.clone()),
            None => Ok(global.home()?.genesis_file()),
        }
    }
}

/// `squad genesis new`
#[derive(Debug, Args)]
pub(crate) struct NewArgs {
    /// Name of the network: lower-case letters, digits and `-`
    #[arg(long)]
    network: String,
    /// A development network; its name must have `dev` as one of its parts
    #[arg(long)]
    dev: bool,
    /// Start of the network in milliseconds since 1970 [default: now]
    #[arg(long, value_name = "MS")]
    chain_time: Option<u64>,
    /// Blocks per epoch [default: 20000, with --dev 200]
    #[arg(long, value_name = "BLOCKS")]
    epoch_length_blocks: Option<u64>,
    #[command(flatten)]
    file: FileArgs,
}

/// `squad genesis add-operator`
#[derive(Debug, Args)]
pub(crate) struct AddOperatorArgs {
    /// Name of the operator
    #[arg(long)]
    name: String,
    /// Identity key, from `squad keys export-public`
    #[arg(long, value_name = "KEY")]
    identity: PublicKey,
    /// Voting power
    #[arg(long)]
    stake: u64,
    /// Where peers reach its data plane
    #[arg(long, value_name = "IP:PORT")]
    address: SocketAddr,
    /// Where anybody reaches its control plane
    #[arg(long, value_name = "MULTIADDR")]
    control: Option<String>,
    /// Finality key, from `squad keys possession`; all operators have one, or none
    #[arg(long, value_name = "KEY", requires = "possession")]
    finality_key: Option<FinalityKey>,
    /// Proof of possession of the finality key, from the same command
    #[arg(long, value_name = "PROOF", requires = "finality_key")]
    possession: Option<FinalityPossession>,
    #[command(flatten)]
    file: FileArgs,
}

/// `squad genesis add-rollup`
#[derive(Debug, Args)]
pub(crate) struct AddRollupArgs {
    /// Number of the rollup
    #[arg(long)]
    id: u64,
    /// Name of the rollup
    #[arg(long)]
    name: String,
    /// What its payloads are
    #[arg(long, value_enum)]
    executor: ExecutorArg,
    /// Chain id; needed by evm
    #[arg(long)]
    chain_id: Option<u64>,
    /// Order inside a block
    #[arg(long, value_enum, default_value_t = OrderArg::Shuffle)]
    order: OrderArg,
    #[command(flatten)]
    file: FileArgs,
}

/// Executor kinds as flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExecutorArg {
    /// Ethereum transactions
    Evm,
    /// The built-in key-value executor
    Kv,
    /// A program behind the executor interface
    External,
    /// Bytes that are only ordered
    Opaque,
}

impl From<ExecutorArg> for ExecutorKind {
    fn from(arg: ExecutorArg) -> Self {
        match arg {
            ExecutorArg::Evm => Self::Evm,
            ExecutorArg::Kv => Self::Kv,
            ExecutorArg::External => Self::External,
            ExecutorArg::Opaque => Self::Opaque,
        }
    }
}

/// Order policies as flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OrderArg {
    /// Batches of the lanes interleaved
    Shuffle,
    /// Lane after lane
    Fifo,
}

impl From<OrderArg> for OrderPolicy {
    fn from(arg: OrderArg) -> Self {
        match arg {
            OrderArg::Shuffle => Self::Shuffle,
            OrderArg::Fifo => Self::Fifo,
        }
    }
}

/// Runs a verb.
pub(crate) fn run(global: &GlobalArgs, command: GenesisCommand) -> Outcome {
    match command {
        GenesisCommand::New(args) => new(global, args),
        GenesisCommand::AddOperator(args) => {
            let path = args.file.path(global)?;
            let finality = args.finality_key.zip(args.possession);
            change(global, &path, |genesis| {
                genesis.operators.push(GenesisOperator {
                    name: args.name,
                    identity: args.identity,
                    stake: Stake(args.stake),
                    address: args.address,
                    control: args.control,
                    finality: finality.map(|(key, possession)| GenesisFinality { key, possession }),
                });
            })
        }
        GenesisCommand::AddRollup(args) => {
            let path = args.file.path(global)?;
            change(global, &path, |genesis| {
                genesis.rollups.push(GenesisRollup {
                    id: RollupId(args.id),
                    name: args.name,
                    executor: args.executor.into(),
                    chain_id: args.chain_id,
                    order: args.order.into(),
                    sealed: SealedPolicy::None,
                });
            })
        }
        GenesisCommand::Validate(args) => {
            let genesis = read_genesis(&args.path(global)?)?;
            let id = genesis.network_id();
            global.check_network(&id)?;
            let text = format!(
                "valid: network {}, {} operators, {} rollups, network id {id}",
                genesis.network,
                genesis.operators.len(),
                genesis.rollups.len()
            );
            output::print(
                global.format,
                &text,
                &json!({"valid": true, "network_id": id}),
            )
        }
        GenesisCommand::Hash(args) => {
            let id = read_genesis(&args.path(global)?)?.network_id();
            global.check_network(&id)?;
            output::print(global.format, &id.to_string(), &json!({"network_id": id}))
        }
    }
}

fn new(global: &GlobalArgs, args: NewArgs) -> Outcome {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .or_exit(Code::Other)?;
    let default_length = match args.dev {
        true => EPOCH_LENGTH_BLOCKS_DEV,
        false => EPOCH_LENGTH_BLOCKS,
    };
    let genesis = Genesis {
        version: GENESIS_VERSION,
        network: args.network,
        dev: args.dev,
        genesis_time_ms: args
            .chain_time
            .unwrap_or(u64::try_from(now.as_millis()).unwrap_or(u64::MAX)),
        params: Params {
            epoch_length_blocks: args.epoch_length_blocks.unwrap_or(default_length),
        },
        consensus: ConsensusParams::default(),
        operators: Vec::new(),
        rollups: Vec::new(),
    };
    check_but_size(&genesis)?;
    let path = args.file.path(global)?;
    create_file(&path, genesis.to_canonical_json().as_bytes())?;
    report(global, &path, &genesis)
}

/// Changes a genesis in place: the new file replaces the old one at once.
fn change(global: &GlobalArgs, path: &Path, apply: impl FnOnce(&mut Genesis)) -> Outcome {
    let mut genesis = read_genesis_unchecked(path)?;
    apply(&mut genesis);
    check_but_size(&genesis)?;
    let draft = path.with_extension("json.new");
    std::fs::write(&draft, genesis.to_canonical_json())
        .and_then(|()| std::fs::rename(&draft, path))
        .map_err(|error| {
            Failure::new(
                Code::Other,
                format!("cannot write {}: {error}", path.display()),
            )
        })?;
    report(global, path, &genesis)
}

/// Checks what is there; a genesis under construction may still have too few operators.
fn check_but_size(genesis: &Genesis) -> Outcome {
    let mut found = genesis.validate().err().unwrap_or_default();
    found.retain(|problem| problem.field != "operators");
    if let Some(error) = found
        .is_empty()
        .then(|| squad_mach::genesis::committee(genesis).err())
        .flatten()
        && !genesis.operators.is_empty()
    {
        found.push(Problem {
            field: "operators".to_owned(),
            reason: format!("finality keys: {error}"),
        });
    }
    if found.is_empty() {
        Ok(())
    } else {
        Err(problems("genesis", &found))
    }
}

fn report(global: &GlobalArgs, path: &Path, genesis: &Genesis) -> Outcome {
    let complete = genesis.validate().is_ok();
    let id = complete.then(|| genesis.network_id());
    let state = match id {
        Some(id) => format!("network id {id}"),
        None => "not complete yet: more operators are needed".to_owned(),
    };
    output::print(
        global.format,
        &format!(
            "{}: {} operators, {} rollups; {state}",
            path.display(),
            genesis.operators.len(),
            genesis.rollups.len()
        ),
        &json!({
            "file": path,
            "operators": genesis.operators.len(),
            "rollups": genesis.rollups.len(),
            "network_id": id,
        }),
    )
}
