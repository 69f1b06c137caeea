//! `squad block`

use super::args::GlobalArgs;
use super::connect::{self, ANSWER_TIMEOUT, EndpointArgs};
use super::exit::{Code, Failure, OrExit as _, Outcome};
use super::output;
use clap::{Args, Subcommand};
use serde::Serialize;
use squad_client::{Endpoint, v1};
use squad_primitives::{Block, Digest};
use v1::get_block_request::Block as Which;

/// Transaction ids that are listed for people; JSON has all.
const IDS_SHOWN: usize = 20;

/// Look at ordered blocks
#[derive(Debug, Subcommand)]
pub(crate) enum BlockCommand {
    /// Show a block
    Show(ShowArgs),
}

/// `squad block show`
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    endpoint: EndpointArgs,
    /// Height, hash, or latest
    #[arg(default_value = "latest")]
    block: String,
    /// Only this rollup's transactions
    #[arg(long)]
    rollup: Option<u64>,
    /// Also list transaction ids
    #[arg(long)]
    ids: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    hash: Digest,
    height: u64,
    epoch: u64,
    view: u64,
    parent: Digest,
    timestamp_ms: u64,
    cut: Vec<Tip>,
    tx_count: u32,
    rollup_count: u32,
    order_root: Option<Digest>,
    rollups: Vec<RollupIds>,
}

#[derive(Debug, Serialize)]
struct Tip {
    lane: u32,
    seq: u64,
    digest: Digest,
}

#[derive(Debug, Serialize)]
struct RollupIds {
    rollup_id: u64,
    rollup_block_number: u64,
    tx_ids: Vec<Digest>,
}

/// Runs the verb.
pub(crate) fn run(global: &GlobalArgs, command: &BlockCommand) -> Outcome {
    let BlockCommand::Show(args) = command;
    connect::block_on(async {
        let endpoint = args.endpoint.connect(global)?;
        if global.network_id.is_some() {
            connect::status(global, &endpoint, ANSWER_TIMEOUT).await?;
        }
        let report = fetch(&endpoint, args).await?;
        output::print(global.format, &text(&report), &report)
    })
}

fn which(text: &str) -> Outcome<Which> {
    if text == "latest" {
        return Ok(Which::Latest(true));
    }
    if let Ok(height) = text.parse() {
        return Ok(Which::Height(height));
    }
    let hash: Digest = text.parse().map_err(|_| {
        Failure::new(
            Code::Usage,
            format!("{text:?} is no height, hash or latest"),
        )
    })?;
    Ok(Which::Hash(hash.0.to_vec().into()))
}

async fn fetch(endpoint: &Endpoint, args: &ShowArgs) -> Outcome<Report> {
    let view = match args.ids {
        true => v1::BlockView::Ids,
        false => v1::BlockView::Header,
    };
    let mut request = v1::GetBlockRequest {
        block: Some(which(&args.block)?),
        view: view.into(),
        rollup_id: args.rollup,
        page_token: Default::default(),
    };
    let mut client = endpoint.blocks();
    let first =
        connect::answer(endpoint, ANSWER_TIMEOUT, client.get_block(request.clone())).await?;
    let header = first
        .header
        .ok_or_else(|| Failure::new(Code::Verification, "the answer lacks the header"))?;
    let mut report = report(header)?;
    let (mut entries, mut next) = (first.entries, first.next_page_token);
    loop {
        collect(&mut report.rollups, entries)?;
        if next.is_empty() {
            return Ok(report);
        }
        // Further pages belong to this very block, even if the latest has moved on.
        request.block = Some(Which::Height(report.height));
        request.page_token = next;
        let page =
            connect::answer(endpoint, ANSWER_TIMEOUT, client.get_block(request.clone())).await?;
        (entries, next) = (page.entries, page.next_page_token);
    }
}

fn collect(rollups: &mut Vec<RollupIds>, entries: Vec<v1::RollupEntries>) -> Outcome {
    for part in entries {
        let ids = part.tx_ids.as_chunks::<32>().0.iter().copied().map(Digest);
        match rollups.last_mut() {
            Some(last) if last.rollup_id == part.rollup_id => last.tx_ids.extend(ids),
            _ => rollups.push(RollupIds {
                rollup_id: part.rollup_id,
                rollup_block_number: part.rollup_block_number,
                tx_ids: ids.collect(),
            }),
        }
    }
    Ok(())
}

fn report(header: v1::BlockHeader) -> Outcome<Report> {
    let invalid = |error: &dyn std::fmt::Display| {
        Failure::new(
            Code::Verification,
            format!("the answer is malformed: {error}"),
        )
    };
    let hash = Digest::try_from(&header.hash[..]).or_exit(Code::Verification)?;
    let block = header
        .block
        .ok_or_else(|| invalid(&"block is missing"))
        .and_then(|block| Block::try_from(&block).map_err(|error| invalid(&error)))?;
    let result = header.result.unwrap_or_default();
    Ok(Report {
        hash,
        height: block.height.0,
        epoch: block.at.epoch.0,
        view: block.at.view.0,
        parent: block.parent.hash,
        timestamp_ms: block.timestamp_ms,
        cut: block
            .cut
            .tips()
            .iter()
            .map(|tip| Tip {
                lane: tip.lane.0,
                seq: tip.seq.0,
                digest: tip.digest,
            })
            .collect(),
        tx_count: result.tx_count,
        rollup_count: result.rollup_count,
        order_root: Digest::try_from(&result.order_root[..]).ok(),
        rollups: Vec::new(),
    })
}

fn text(report: &Report) -> String {
    let mut out = format!(
        "block     {} ({})\nview      {}/{}\nparent    {}\ntime      {} ms\ncontents  {} transactions of {} rollups\n",
        report.height,
        report.hash,
        report.epoch,
        report.view,
        report.parent,
        report.timestamp_ms,
        report.tx_count,
        report.rollup_count,
    );
    for tip in &report.cut {
        out.push_str(&format!("  lane {:<3} up to batch {}\n", tip.lane, tip.seq));
    }
    for rollup in &report.rollups {
        out.push_str(&format!(
            "rollup {} block {}: {} transactions\n",
            rollup.rollup_id,
            rollup.rollup_block_number,
            rollup.tx_ids.len()
        ));
        for id in rollup.tx_ids.iter().take(IDS_SHOWN) {
            out.push_str(&format!("  {id}\n"));
        }
        if rollup.tx_ids.len() > IDS_SHOWN {
            out.push_str(&format!("  and {} more\n", rollup.tx_ids.len() - IDS_SHOWN));
        }
    }
    out
}
