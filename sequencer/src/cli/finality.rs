//! `squad finality`

use super::args::{GlobalArgs, read_genesis};
use super::connect::{self, ANSWER_TIMEOUT, EndpointArgs};
use super::exit::{Code, Failure, OrExit as _, Outcome};
use super::init::create_file;
use super::output;
use clap::{Args, Subcommand};
use serde_json::json;
use squad_client::finality::{FinalityError, light_client};
use squad_client::finality_api::subscribe_alerts_response::Item;
use squad_client::finality_api::{self as api, AlertKind};
use squad_primitives::TxId;
use std::path::{Path, PathBuf};

/// Certificates and proofs of finality, and alerts
#[derive(Debug, Subcommand)]
pub(crate) enum FinalityCommand {
    /// Show the certificate that covers a height
    Certificate(CertificateArgs),
    /// Prove that a transaction is final, and write the files that show it to others
    Proof(ProofArgs),
    /// Show what the node has noticed since it started
    Alerts(AlertsArgs),
}

/// `squad finality certificate`
#[derive(Debug, Args)]
pub(crate) struct CertificateArgs {
    #[command(flatten)]
    endpoint: EndpointArgs,
    /// Height to be covered; 0 for the last certificate
    #[arg(default_value_t = 0)]
    height: u64,
    /// File to write the certificate to
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// `squad finality proof`
#[derive(Debug, Args)]
pub(crate) struct ProofArgs {
    #[command(flatten)]
    endpoint: EndpointArgs,
    /// Transaction id
    id: TxId,
    /// Genesis of the network [default: config/genesis.json in the home directory]
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// Directory for the files handovers, certificate and transaction, which `squad verify` reads
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// `squad finality alerts`
#[derive(Debug, Args)]
pub(crate) struct AlertsArgs {
    #[command(flatten)]
    endpoint: EndpointArgs,
}

/// Runs a verb.
pub(crate) fn run(global: &GlobalArgs, command: FinalityCommand) -> Outcome {
    connect::block_on(async {
        match command {
            FinalityCommand::Certificate(args) => certificate(global, args).await,
            FinalityCommand::Proof(args) => Box::pin(proof(global, args)).await,
            FinalityCommand::Alerts(args) => alerts(global, args).await,
        }
    })
}

async fn certificate(global: &GlobalArgs, args: CertificateArgs) -> Outcome {
    let endpoint = args.endpoint.connect(global)?;
    let mut client = endpoint.finality();
    let height = args.height;
    let call = client.get_certificate(api::GetCertificateRequest { height });
    let answer = connect::answer(&endpoint, ANSWER_TIMEOUT, call).await?;
    let found = answer.certificate.unwrap_or_default();
    if let Some(path) = &args.out {
        create_file(path, &found.encoded)?;
    }
    let (block, root) = (hex::encode(&found.block), hex::encode(&found.result_root));
    output::print(
        global.format,
        &format!(
            "height  {}, epoch {}\nblock   0x{block}\nresult  0x{root}\nsigned  by stake {} of {}\n",
            found.height, found.epoch, found.signed_stake, found.total_stake,
        ),
        &json!({
            "height": found.height,
            "epoch": found.epoch,
            "block": format!("0x{block}"),
            "result_root": format!("0x{root}"),
            "signed_stake": found.signed_stake,
            "total_stake": found.total_stake,
            "file": args.out,
        }),
    )
}

impl From<FinalityError> for Failure {
    fn from(error: FinalityError) -> Self {
        let code = match &error {
            FinalityError::Refused(_) => Code::Refused,
            FinalityError::NoKeys | FinalityError::Committee(_) => Code::Config,
            FinalityError::NotFinal { .. } => Code::TimedOut,
            _ => Code::Verification,
        };
        Self {
            code,
            error: error.into(),
        }
    }
}

async fn proof(global: &GlobalArgs, args: ProofArgs) -> Outcome {
    let genesis = match args.genesis {
        Some(path) => path,
        None => global.home()?.genesis_file(),
    };
    let genesis = read_genesis(&genesis)?;
    global.check_network(&genesis.network_id())?;
    let endpoint = args.endpoint.connect(global)?;
    let mut light = light_client(&genesis)?;
    let found = endpoint.prove_final(&mut light, args.id).await?;
    let certificate = &found.proof.rollup.certificate;
    if let Some(directory) = &args.out {
        let mut handovers = Vec::new();
        for handover in &found.handovers {
            let bytes = handover.to_bytes();
            let length = u32::try_from(bytes.len()).or_exit(Code::Other)?;
            handovers.extend_from_slice(&length.to_be_bytes());
            handovers.extend_from_slice(&bytes);
        }
        write(directory, "handovers", &handovers)?;
        write(directory, "certificate", &certificate.to_bytes())?;
        write(directory, "transaction", &found.proof.to_bytes())?;
    }
    let (id, height) = (args.id, certificate.statement.height);
    let block = found.block;
    output::print(
        global.format,
        &format!(
            "transaction {id}\nblock       {}; block {} of rollup {}\n\
             final       by the certificate of height {height}, epoch {}\n",
            block.last_height, block.number, block.rollup, certificate.statement.epoch,
        ),
        &json!({
            "tx_id": id,
            "height": block.last_height,
            "rollup_id": block.rollup,
            "rollup_block_number": block.number,
            "certificate_height": height,
            "epoch": certificate.statement.epoch,
            "handovers": found.handovers.len(),
            "directory": args.out,
        }),
    )
}

fn write(directory: &Path, name: &str, content: &[u8]) -> Outcome {
    create_file(&directory.join(name), content)
}

/// Alerts that a node has at once; the stream goes on with what comes.
async fn alerts(global: &GlobalArgs, args: AlertsArgs) -> Outcome {
    let endpoint = args.endpoint.connect(global)?;
    let mut client = endpoint.finality();
    let call = client.subscribe_alerts(api::SubscribeAlertsRequest::default());
    let mut stream = connect::answer(&endpoint, ANSWER_TIMEOUT, call).await?;
    let mut found = Vec::new();
    // What there is comes first; the first heartbeat, or silence, ends it.
    while let Ok(Ok(Some(item))) =
        tokio::time::timeout(std::time::Duration::from_millis(500), stream.message()).await
    {
        match item.item {
            Some(Item::Alert(alert)) => found.push(alert),
            Some(Item::Heartbeat(_)) => break,
            _ => {}
        }
    }
    let mut text = String::new();
    for alert in &found {
        let who = alert
            .operator_id
            .map_or_else(String::new, |operator| format!(", operator {operator}"));
        text.push_str(&format!(
            "{}{who}: {} times, heights {} to {}\n",
            name(alert.kind()),
            alert.count,
            alert.first_height,
            alert.last_height
        ));
    }
    if found.is_empty() {
        text.push_str("no alerts\n");
    }
    let list: Vec<_> = found
        .iter()
        .map(|alert| {
            json!({
                "kind": name(alert.kind()),
                "operator_id": alert.operator_id,
                "count": alert.count,
                "first_height": alert.first_height,
                "last_height": alert.last_height,
                "last_ms": alert.last_ms,
                "evidence": (!alert.evidence.is_empty())
                    .then(|| format!("0x{}", hex::encode(&alert.evidence))),
            })
        })
        .collect();
    output::print(global.format, &text, &json!({"alerts": list}))
}

fn name(kind: AlertKind) -> String {
    kind.as_str_name()
        .trim_start_matches("ALERT_KIND_")
        .to_ascii_lowercase()
}
