//! `squad db`: the data of a node that is not running. The locks of home and data directory make sure
//! of that.

use super::args::{ConfigArgs, GlobalArgs, read_genesis};
use super::exit::{Code, Failure, OrExit as _, Outcome, problems};
use super::output;
use crate::config::Config;
use crate::home::Home;
use crate::node;
use crate::node::record::OrderedBlock;
use clap::{Args, Subcommand};
use serde_json::json;
use squad_consensus::{Cast, SafetyRecord, SafetyState};
use squad_mach::{SignGuard, Statement};
use squad_mempool::LaneRecord;
use squad_primitives::genesis::Genesis;
use squad_primitives::{Batch, Digest, Ed25519Verifier, Height, codec};
use squad_storage::{
    Direction, DiskConfig, DiskStore, Entry, Hooks, Lock, Scan, StorageError, Store, Table,
};
use std::sync::Arc;

/// Entries read at a time, so that memory stays flat.
const PAGE: usize = 256;

/// Inspect and prune the data of a stopped node
#[derive(Debug, Subcommand)]
pub(crate) enum DbCommand {
    /// Show heights and sizes
    Stats,
    /// Read every block and batch back and check hashes, links and certificates
    Check,
    /// Show what this operator signed last
    Safety,
    /// Delete old blocks and their batches, as a running node does by storage.keep_blocks
    Prune(PruneArgs),
}

/// `squad db prune`
#[derive(Clone, Debug, Args)]
pub(crate) struct PruneArgs {
    /// Blocks to keep; at least twice expiry_max_blocks of the genesis [default: storage.keep_blocks]
    #[arg(long, value_name = "BLOCKS")]
    keep_blocks: Option<u64>,
}

/// The other commands only read; a failed writer still must not go unseen.
#[derive(Debug)]
struct Report;

impl Hooks for Report {
    fn on_fatal(&self, error: StorageError) {
        tracing::error!(%error, "storage failed");
    }
}

/// A stopped node's data, locked.
struct Opened {
    store: DiskStore,
    genesis: Genesis,
    _home: Lock,
}

/// Runs a verb.
pub(crate) fn run(global: &GlobalArgs, command: &DbCommand) -> Outcome {
    let stopped = Stopped::find(global)?;
    match command {
        DbCommand::Prune(args) => prune(global, &stopped, args),
        DbCommand::Stats => stats(global, &stopped.open()?),
        DbCommand::Check => check(global, &stopped.open()?),
        DbCommand::Safety => safety(global, &stopped.open()?),
    }
}

/// The home of a node that is not running, locked.
struct Stopped {
    home: Home,
    config: Config,
    genesis: Genesis,
    lock: Lock,
}

impl Stopped {
    fn find(global: &GlobalArgs) -> Outcome<Self> {
        let home = global.home()?;
        let config = ConfigArgs::default().load(global, &home)?.config;
        let genesis = read_genesis(&home.genesis_file())?;
        global.check_network(&genesis.network_id())?;
        let directory = home.resolve(&config.storage.path);
        if !directory.join("FORMAT").exists() {
            return Err(Failure::new(
                Code::Storage,
                format!("{} holds no data of a node", directory.display()),
            ));
        }
        Ok(Self {
            lock: Lock::acquire(home.root())?,
            home,
            config,
            genesis,
        })
    }

    fn open(self) -> Outcome<Opened> {
        let directory = self.home.resolve(&self.config.storage.path);
        let config = DiskConfig {
            cache_bytes: self.config.storage.cache,
            ..DiskConfig::default()
        };
        Ok(Opened {
            store: DiskStore::open(&directory, &config, Arc::new(Report))?,
            genesis: self.genesis,
            _home: self.lock,
        })
    }
}

fn prune(global: &GlobalArgs, stopped: &Stopped, args: &PruneArgs) -> Outcome {
    let mut config = stopped.config.clone();
    if let Some(keep) = args.keep_blocks {
        config.storage.keep_blocks = keep;
    }
    if config.storage.keep_blocks == 0 {
        return Err(Failure::new(
            Code::Usage,
            "storage.keep_blocks is 0, which keeps all: say how many with --keep-blocks",
        ));
    }
    config
        .validate(Some(&stopped.genesis))
        .map_err(|list| problems("configuration", &list))?;
    let (first, last) = node::prune::stopped(&config, &stopped.genesis, stopped.home.root())?;
    output::print(
        global.format,
        &format!("blocks {first} to {last} are left"),
        &json!({"first_height": first, "last_height": last}),
    )
}

impl Opened {
    fn scan(
        &self,
        table: Table,
        from: &[u8],
        direction: Direction,
        limit: usize,
    ) -> Outcome<Vec<Entry>> {
        Ok(self.store.scan(
            table,
            Scan {
                from,
                to: None,
                direction,
                limit,
            },
        )?)
    }

    /// First and last stored height.
    fn heights(&self) -> Outcome<Option<(Height, Height)>> {
        let edge = |direction| -> Outcome<Option<Height>> {
            let found = self.scan(Table::Blocks, &[], direction, 1)?;
            found.first().map(|(key, _)| height_of(key)).transpose()
        };
        Ok(edge(Direction::Forward)?.zip(edge(Direction::Backward)?))
    }
}

fn height_of(key: &[u8]) -> Outcome<Height> {
    let bytes = key
        .try_into()
        .map_err(|_| Failure::new(Code::Storage, "a key of the table of blocks is no height"))?;
    Ok(Height(u64::from_be_bytes(bytes)))
}

fn stats(global: &GlobalArgs, opened: &Opened) -> Outcome {
    let sizes = opened.store.stats()?;
    let heights = opened.heights()?;
    let range = match heights {
        Some((first, last)) => format!("{first} to {last}"),
        None => "none".to_owned(),
    };
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    output::print(
        global.format,
        &format!(
            "blocks  {range}\nindexed {}\nmain    {:.1} MiB\nsafety  {:.1} MiB\nbodies  {:.1} MiB",
            opened.store.indexed_height(),
            mib(sizes.main_bytes),
            mib(sizes.safety_bytes),
            mib(sizes.body_bytes),
        ),
        &json!({
            "first_height": heights.map(|(first, _)| first),
            "last_height": heights.map(|(_, last)| last),
            "indexed_height": opened.store.indexed_height(),
            "main_bytes": sizes.main_bytes,
            "safety_bytes": sizes.safety_bytes,
            "body_bytes": sizes.body_bytes,
        }),
    )
}

#[derive(Default)]
struct Checked {
    blocks: u64,
    batches: u64,
    transactions: u64,
    last: Option<(Height, Digest)>,
}

fn check(global: &GlobalArgs, opened: &Opened) -> Outcome {
    let mut checked = Checked::default();
    let mut from = Vec::new();
    loop {
        let page = opened.scan(Table::Blocks, &from, Direction::Forward, PAGE)?;
        for (key, value) in &page {
            let height = height_of(key)?;
            check_block(opened, height, value, &mut checked).map_err(|reason| {
                Failure::new(Code::Storage, format!("block {height}: {reason}"))
            })?;
        }
        match page.last() {
            Some((key, _)) if page.len() == PAGE => {
                from = key.to_vec();
                // The smallest key above.
                from.push(0);
            }
            _ => break,
        }
    }
    output::print(
        global.format,
        &format!(
            "{} blocks, {} batches and {} transactions are as they were written",
            checked.blocks, checked.batches, checked.transactions
        ),
        &json!({
            "blocks": checked.blocks,
            "batches": checked.batches,
            "transactions": checked.transactions,
        }),
    )
}

fn check_block(
    opened: &Opened,
    height: Height,
    value: &[u8],
    checked: &mut Checked,
) -> Result<(), String> {
    let network = opened.genesis.network_id();
    let ordered: OrderedBlock = codec::decode(value).map_err(|error| error.to_string())?;
    let committed = &ordered.committed;
    let block = &committed.block;
    if block.height != height {
        return Err(format!("stored as that of height {}", block.height));
    }
    if block.hash(&network) != committed.hash {
        return Err("its hash differs".to_owned());
    }
    match checked.last {
        Some((last, _)) if last.next() != height => return Err(format!("follows block {last}")),
        Some((_, hash)) if block.parent.hash != hash => {
            return Err("does not extend the block before it".to_owned());
        }
        _ => {}
    }
    let committee = opened
        .genesis
        .committee(committed.proof.certificate.statement.at.epoch)
        .map_err(|error| error.to_string())?;
    committed
        .proof
        .verify(&network, block, &committee, &Ed25519Verifier)
        .map_err(|error| error.to_string())?;
    for signed in &ordered.headers {
        let digest = signed.header.digest(&network);
        let stored = opened
            .store
            .body(&digest)
            .map_err(|error| error.to_string())?
            .ok_or_else(|| format!("batch {digest} is missing"))?;
        let batch = Batch::parse(
            &network,
            *signed,
            stored.body,
            &opened.genesis.batch_limits(),
        )
        .map_err(|error| format!("batch {digest}: {error}"))?;
        checked.batches += 1;
        checked.transactions += batch.ids().len() as u64;
    }
    checked.blocks += 1;
    checked.last = Some((height, committed.hash));
    Ok(())
}

fn safety(global: &GlobalArgs, opened: &Opened) -> Outcome {
    let mut state: Option<SafetyState> = None;
    let mut certificates = 0_usize;
    let mut blocks = 0_usize;
    for (_, value) in opened.scan(Table::SafetyConsensus, &[], Direction::Forward, usize::MAX)? {
        match SafetyRecord::from_value(&value)
            .or_exit(Code::Safety)
            .map_err(|failure| failure.context("a consensus record can't be decoded"))?
        {
            SafetyRecord::State(found) => state = Some(*found),
            SafetyRecord::Certificate(_) => certificates += 1,
            SafetyRecord::Block { .. } => blocks += 1,
        }
    }
    let mut lanes = Vec::new();
    for (_, value) in opened.scan(Table::SafetyLanes, &[], Direction::Forward, usize::MAX)? {
        let record: LaneRecord = codec::decode(&value)
            .or_exit(Code::Safety)
            .map_err(|failure| failure.context("a lane record can't be decoded"))?;
        lanes.push(record.acked);
    }
    lanes.sort_unstable();

    let attested = attested(opened)?;
    let cast = |cast: &Cast| json!({"at": cast.at.to_string(), "block": cast.block});
    let json = json!({
        "state": state.as_ref().map(|state| json!({
            "view": state.at.to_string(),
            "proposed": state.proposed.to_string(),
            "voted": cast(&state.voted),
            "timed_out": state.timed_out.to_string(),
            "commit_voted": cast(&state.commit_voted),
        })),
        "attested": attested.map(|statement| json!({
            "epoch": statement.epoch, "height": statement.height,
            "block": statement.block, "result_root": statement.result_root,
        })),
        "certificates": certificates,
        "blocks": blocks,
        "acknowledged": lanes.iter().map(|tip| json!({
            "lane": tip.lane, "seq": tip.seq, "digest": tip.digest,
        })).collect::<Vec<_>>(),
    });
    let mut text = match &state {
        None => "nothing was signed in consensus\n".to_owned(),
        Some(state) => format!(
            "view          {}\nproposed      {}\nvoted         {} for {}\ntimed out     {}\n\
             commit voted  {} for {}\nkept          {certificates} certificates, {blocks} blocks\n",
            state.at,
            state.proposed,
            state.voted.at,
            state.voted.block,
            state.timed_out,
            state.commit_voted.at,
            state.commit_voted.block,
        ),
    };
    if let Some(statement) = attested {
        text.push_str(&format!(
            "attested      result {} of block {}\n",
            statement.result_root, statement.height
        ));
    }
    for tip in &lanes {
        text.push_str(&format!(
            "acknowledged  lane {} up to batch {}\n",
            tip.lane, tip.seq
        ));
    }
    output::print(global.format, &text, &json)
}

/// What the finality key signed last.
fn attested(opened: &Opened) -> Outcome<Option<Statement>> {
    let found = opened.scan(Table::SafetyMach, &[], Direction::Forward, 1)?;
    let Some((_, record)) = found.first() else {
        return Ok(None);
    };
    SignGuard::read(record)
        .or_exit(Code::Safety)
        .map(|(_, statement)| Some(statement))
}
