//! `squad verify`: certificates and proofs from files, without a connection.

use super::args::{GlobalArgs, read_genesis};
use super::exit::{Code, Failure, OrExit as _, Outcome};
use super::output;
use crate::config::parse_duration;
use crate::node::clock;
use clap::Args;
use serde_json::json;
use squad_client::finality::light_client;
use squad_client::mach::light::Anchor;
use squad_client::mach::{
    Certificate, Handover, LightClient, LightError, RollupProof, TransactionProof,
};
use squad_primitives::{RollupId, TxId};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Largest file that is read. A hand-over of 128 members has about 14 KiB.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Check certificates and proofs of finality from files, without a connection
///
/// Trust starts at a genesis or an anchor. Hand-overs lead from its committee to later ones. Anything that
/// does not hold ends the command with exit code 14.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Genesis to trust [default: config/genesis.json in the home directory]
    #[arg(long, value_name = "FILE", conflicts_with = "anchor")]
    genesis: Option<PathBuf>,
    /// Anchor to trust: a committee that somebody trusted has published
    #[arg(long, value_name = "FILE", requires = "anchor_age_max")]
    anchor: Option<PathBuf>,
    /// Oldest anchor that is taken, with unit: the network's unbonding period
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, requires = "anchor")]
    anchor_age_max: Option<Duration>,
    /// Hand-overs, each with its length in front as 4 bytes, big-endian
    #[arg(long, value_name = "FILE")]
    handovers: Option<PathBuf>,
    /// A certificate
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Proof of a rollup's block
    #[arg(long, value_name = "FILE", requires = "rollup")]
    rollup_block: Option<PathBuf>,
    /// Proof of a transaction
    #[arg(long, value_name = "FILE", requires = "rollup")]
    transaction: Option<PathBuf>,
    /// Number of the rollup that a proof must be about
    #[arg(long)]
    rollup: Option<u64>,
    /// Id of the transaction that the proof must be about
    #[arg(long, value_name = "ID", requires = "transaction")]
    tx_id: Option<TxId>,
}

/// Checks all files that are named.
pub(crate) fn run(global: &GlobalArgs, args: &VerifyArgs) -> Outcome {
    let (mut light, handovers) = (start(global, args)?, args.handovers.as_deref());
    let followed = handovers.map_or(Ok(0), |path| follow(&mut light, path))?;
    let mut text = format!(
        "committee of epoch {}, {} hand-overs\n",
        light.committee().epoch(),
        followed
    );
    let mut facts = serde_json::Map::new();
    facts.insert("epoch".to_owned(), json!(light.committee().epoch()));
    facts.insert("handovers".to_owned(), json!(followed));
    if let Some(path) = &args.certificate {
        let certificate = check(path, |bytes| {
            let certificate = Certificate::from_bytes(bytes).map_err(LightError::from)?;
            light.verify_certificate(&certificate)?;
            Ok(certificate)
        })?;
        let statement = &certificate.statement;
        text.push_str(&format!(
            "certificate: blocks up to {} are final, block {}\n",
            statement.height, statement.block
        ));
        facts.insert("certificate_height".to_owned(), json!(statement.height));
        facts.insert("block".to_owned(), json!(statement.block));
    }
    let rollup = RollupId(args.rollup.unwrap_or_default());
    if let Some(path) = &args.rollup_block {
        let block = check(path, |bytes| {
            light.verify_rollup(&RollupProof::from_bytes(bytes)?, rollup)
        })?;
        text.push_str(&format!(
            "rollup {rollup}: block {} is final, in block {}\n",
            block.number, block.last_height
        ));
        facts.insert("rollup_block_number".to_owned(), json!(block.number));
        facts.insert("rollup_block_height".to_owned(), json!(block.last_height));
    }
    if let Some(path) = &args.transaction {
        let (id, block) = check(path, |bytes| {
            let proof = TransactionProof::from_bytes(bytes)?;
            Ok((proof.id, light.verify_transaction(&proof, rollup)?))
        })?;
        if let Some(expected) = args.tx_id
            && expected != id
        {
            return Err(Failure::new(
                Code::Verification,
                format!("{}: proof of {id}, expected {expected}", path.display()),
            ));
        }
        text.push_str(&format!(
            "transaction {id} is final, in block {} of rollup {rollup}, block {}\n",
            block.number, block.last_height
        ));
        facts.insert("tx_id".to_owned(), json!(id));
        facts.insert("height".to_owned(), json!(block.last_height));
    }
    output::print(global.format, &text, &facts)
}

fn start(global: &GlobalArgs, args: &VerifyArgs) -> Outcome<LightClient> {
    if let Some(path) = &args.anchor {
        let limit = args.anchor_age_max.unwrap_or_default().as_millis();
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        let anchor = check(path, Anchor::from_bytes)?;
        global.check_network(&anchor.network)?;
        return LightClient::start(anchor, clock::wall_ms(), Some(limit))
            .or_exit(Code::Verification)
            .map_err(|failure| failure.context(path.display().to_string()));
    }
    let path = match &args.genesis {
        Some(path) => path.clone(),
        None => global.home()?.genesis_file(),
    };
    let genesis = read_genesis(&path)?;
    global.check_network(&genesis.network_id())?;
    Ok(light_client(&genesis)?)
}

/// Follows the hand-overs of a file; how many there were.
fn follow(light: &mut LightClient, path: &Path) -> Outcome<usize> {
    let bytes = read(path)?;
    let mut rest = bytes.as_slice();
    let mut count = 0;
    while !rest.is_empty() {
        let cut = || {
            Failure::new(
                Code::Verification,
                format!("{}: hand-over {count} is cut off", path.display()),
            )
        };
        let (length, after) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let (handover, after) = after.split_at_checked(length).ok_or_else(cut)?;
        Handover::from_bytes(handover)
            .and_then(|handover| light.follow(handover))
            .or_exit(Code::Verification)
            .map_err(|failure| failure.context(format!("{}: {count}", path.display())))?;
        rest = after;
        count += 1;
    }
    Ok(count)
}

fn read(path: &Path) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes))
        .or_exit(Code::Usage)
        .map_err(|failure| failure.context(format!("cannot read {}", path.display())))?;
    Ok(bytes)
}

/// Checks the content of a file; what does not hold ends with exit code 14.
fn check<T>(path: &Path, check: impl FnOnce(&[u8]) -> Result<T, LightError>) -> Outcome<T> {
    check(&read(path)?)
        .or_exit(Code::Verification)
        .map_err(|failure| failure.context(path.display().to_string()))
}
