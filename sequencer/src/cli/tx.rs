//! `squad tx`

use super::args::{GlobalArgs, read_genesis};
use super::connect::{self, ANSWER_TIMEOUT, EndpointArgs, EndpointsArgs};
use super::exit::{Code, Failure, OrExit as _, Outcome};
use super::output;
use super::proof;
use crate::config::parse_duration;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use squad_client::v1;
use squad_primitives::{Digest, TxId};
use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

/// Largest payload that is read: the genesis never allows more.
const PAYLOAD_BYTES_MAX: u64 = 1 << 20;

/// Submit and follow transactions
#[derive(Debug, Subcommand)]
pub(crate) enum TxCommand {
    /// Submit a transaction and wait
    Submit(SubmitArgs),
    /// Show what the node knows about a transaction
    Status(IdArgs),
    /// Prove that a transaction is ordered, and where; the proof is checked against the genesis
    Proof(ProofArgs),
}

/// `squad tx submit`
#[derive(Debug, Args)]
pub(crate) struct SubmitArgs {
    #[command(flatten)]
    endpoint: EndpointArgs,
    /// Number of the rollup
    #[arg(long)]
    rollup: u64,
    #[command(flatten)]
    payload: PayloadArgs,
    /// Last height at which it may be ordered [default: 4,000 blocks ahead]
    #[arg(long, value_name = "HEIGHT")]
    expiry: Option<u64>,
    /// Status to wait for
    #[arg(long, value_enum, default_value_t = WaitFor::Ordered)]
    wait: WaitFor,
    /// Longest wait, with unit; at most 10s
    #[arg(long, default_value = "5s", value_name = "DURATION", value_parser = parse_duration)]
    timeout: Duration,
}

/// Where the payload comes from.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct PayloadArgs {
    /// Payload as hexadecimal digits
    #[arg(long, value_name = "HEX")]
    payload: Option<String>,
    /// File with the payload's bytes; - reads standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Statuses to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WaitFor {
    /// Durable in the operator's lane
    Accepted,
    /// In a block that cannot be undone
    Ordered,
    /// Covered by a certificate of more than two thirds of stake
    Final,
}

/// `squad tx proof`
#[derive(Debug, Args)]
pub(crate) struct ProofArgs {
    #[command(flatten)]
    endpoints: EndpointsArgs,
    /// Transaction id
    id: TxId,
    /// Genesis of the network [default: config/genesis.json in the home directory]
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// Accept a place that operators of a third of the stake or less attest
    #[arg(long)]
    accept_unattested: bool,
}

/// `squad tx status`
#[derive(Debug, Args)]
pub(crate) struct IdArgs {
    #[command(flatten)]
    endpoint: EndpointArgs,
    /// Transaction id
    id: TxId,
}

/// Runs a verb.
pub(crate) fn run(global: &GlobalArgs, command: TxCommand) -> Outcome {
    connect::block_on(async {
        match command {
            TxCommand::Submit(args) => submit(global, args).await,
            TxCommand::Status(args) => status(global, args).await,
            TxCommand::Proof(args) => prove(global, args).await,
        }
    })
}

impl PayloadArgs {
    fn read(&self) -> Outcome<Vec<u8>> {
        if let Some(digits) = &self.payload {
            return hex::decode(digits.strip_prefix("0x").unwrap_or(digits))
                .map_err(|error| Failure::new(Code::Usage, format!("--payload: {error}")));
        }
        let mut bytes = Vec::new();
        let limit = PAYLOAD_BYTES_MAX + 1;
        let path = self.file.clone().unwrap_or_default();
        if path.as_os_str() == "-" {
            std::io::stdin().take(limit).read_to_end(&mut bytes)
        } else {
            std::fs::File::open(&path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
        }
        .or_exit(Code::Usage)
        .map_err(|failure| failure.context(format!("cannot read {}", path.display())))?;
        if bytes.len() as u64 > PAYLOAD_BYTES_MAX {
            return Err(Failure::new(
                Code::Usage,
                format!("payload: more than {PAYLOAD_BYTES_MAX} bytes"),
            ));
        }
        Ok(bytes)
    }
}

async fn submit(global: &GlobalArgs, args: SubmitArgs) -> Outcome {
    let payload = args.payload.read()?;
    let endpoint = args.endpoint.connect(global)?;
    if global.network_id.is_some() {
        connect::status(global, &endpoint, ANSWER_TIMEOUT).await?;
    }
    let wait_for = match args.wait {
        WaitFor::Accepted => v1::Status::Accepted,
        WaitFor::Ordered => v1::Status::Ordered,
        WaitFor::Final => v1::Status::Final,
    };
    let request = v1::SubmitTransactionRequest {
        transaction: Some(v1::Transaction {
            rollup_id: args.rollup,
            payload: payload.into(),
            kind: v1::TransactionKind::Plain.into(),
            expiry_height: args.expiry.unwrap_or_default(),
        }),
        wait_for: wait_for.into(),
        wait_ms: u32::try_from(args.timeout.as_millis()).unwrap_or(u32::MAX),
    };
    let mut client = endpoint.sequencer();
    let call = client.submit_transaction(request);
    let response = connect::answer(&endpoint, args.timeout + ANSWER_TIMEOUT, call).await?;
    print_status(global, &response.status.unwrap_or_default())
}

async fn status(global: &GlobalArgs, args: IdArgs) -> Outcome {
    let endpoint = args.endpoint.connect(global)?;
    if global.network_id.is_some() {
        connect::status(global, &endpoint, ANSWER_TIMEOUT).await?;
    }
    let request = v1::GetTransactionStatusRequest {
        tx_id: args.id.0.to_vec().into(),
        include_proof: false,
    };
    let mut client = endpoint.sequencer();
    let call = client.get_transaction_status(request);
    let response = connect::answer(&endpoint, ANSWER_TIMEOUT, call).await?;
    print_status(global, &response.status.unwrap_or_default())
}

fn id_text(bytes: &[u8]) -> String {
    Digest::try_from(bytes).map_or_else(|_| "unknown".to_owned(), |id| id.to_string())
}

fn print_status(global: &GlobalArgs, status: &v1::TransactionStatus) -> Outcome {
    let name = status
        .status()
        .as_str_name()
        .trim_start_matches("STATUS_")
        .to_ascii_lowercase();
    let id = id_text(&status.tx_id);
    let mut text = format!(
        "transaction {id}\nrollup      {}\nstatus      {name}\n",
        status.rollup_id
    );
    if matches!(status.status(), v1::Status::Ordered | v1::Status::Final) {
        text.push_str(&format!(
            "block       {}, position {}; block {} of the rollup\n",
            status.height, status.position, status.rollup_block_number
        ));
    } else {
        text.push_str(&format!(
            "expires     after block {}\n",
            status.expiry_height
        ));
    }
    if !status.reason.is_empty() {
        text.push_str(&format!("reason      {}\n", status.reason));
    }
    let json = json!({
        "tx_id": id,
        "rollup_id": status.rollup_id,
        "status": name,
        "expiry_height": status.expiry_height,
        "height": status.height,
        "position": status.position,
        "rollup_block_number": status.rollup_block_number,
        "reason": status.reason,
        "updated_at_ms": status.updated_at_ms,
    });
    output::print(global.format, &text, &json)?;
    match status.status() {
        v1::Status::Rejected | v1::Status::Expired => Err(Failure::new(
            Code::Refused,
            format!("transaction {id} is {name}"),
        )),
        _ => Ok(()),
    }
}

async fn prove(global: &GlobalArgs, args: ProofArgs) -> Outcome {
    let genesis_file = match args.genesis {
        Some(path) => path,
        None => global.home()?.genesis_file(),
    };
    let genesis = read_genesis(&genesis_file)?;
    let id = args.id;
    let endpoints = args.endpoints.connect(global)?;
    let proven = proof::fetch(global, &endpoints, &genesis, id, args.accept_unattested).await?;
    let place = proven.place;
    let verdict = match proven.enough {
        true => "more than a third",
        false => "not more than a third; accepted as asked",
    };
    let text = format!(
        "transaction {id}\nblock       {}, position {} of rollup {}\n\
         final       by the commit certificate; the block holds the transaction\n\
         place       attested by stake {} of {}: {verdict}\n",
        place.height, place.position, place.rollup, proven.attested, proven.total,
    );
    let json = json!({
        "tx_id": id,
        "height": place.height,
        "rollup_id": place.rollup,
        "rollup_block_number": place.number,
        "position": place.position,
        "attested_stake": proven.attested,
        "total_stake": proven.total,
        "attested": proven.enough,
    });
    output::print(global.format, &text, &json)
}
