//! Deleting what is older than the node has to keep.

use super::NodeError;
use super::hub::Hub;
use super::metrics::StoreMetrics;
use super::recover::{self, Opened};
use crate::config::Config;
use prometheus_client::registry::Registry;
use squad_primitives::Height;
use squad_primitives::genesis::Genesis;
use squad_storage::{Changes, Database, StorageError, Table};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;

/// How often old blocks are looked for.
const INTERVAL: Duration = Duration::from_secs(60);
/// Blocks deleted in one write.
const CHUNK: u64 = 512;

/// Starts pruning in the background. `storage.keep_blocks = 0` keeps everything.
pub(crate) fn start(
    config: &Config,
    genesis: &Genesis,
    opened: &Opened,
    hub: Arc<Hub>,
) -> AbortHandle {
    let keep = config.storage.keep_blocks;
    let expiry = genesis.consensus.expiry_max_blocks;
    let opened = opened.clone();
    let task = tokio::spawn(async move {
        if keep == 0 {
            return;
        }
        let mut timer = tokio::time::interval(INTERVAL);
        loop {
            timer.tick().await;
            let below = below(hub.head(), keep);
            let opened = opened.clone();
            let done = tokio::task::spawn_blocking(move || prune(&opened, below, expiry)).await;
            if let Ok(Err(error)) = done {
                super::fatal(&error);
            }
        }
    });
    task.abort_handle()
}

/// First height that is kept.
fn below(head: Height, keep: u64) -> Height {
    Height(head.0.saturating_sub(keep).max(1))
}

/// Deletes what a running node would delete by `storage.keep_blocks`, which must not be 0, from the data
/// of a stopped one. Returns the first and the last height that are left.
///
/// # Errors
/// See [`NodeError`].
pub(crate) fn stopped(
    config: &Config,
    genesis: &Genesis,
    home: &Path,
) -> Result<(Height, Height), NodeError> {
    let figures = StoreMetrics::register(&mut Registry::default());
    let opened = recover::open(config, genesis, home, figures)?;
    let first = below(opened.head(), config.storage.keep_blocks);
    prune(&opened, first, genesis.consensus.expiry_max_blocks)?;
    // The store writes what is queued before it is dropped.
    Ok((opened.reader.earliest(), opened.head()))
}

/// Deletes blocks below a height, and bodies that no kept block refers to.
pub(crate) fn prune(opened: &Opened, below: Height, expiry: u64) -> Result<(), StorageError> {
    let reader = &opened.reader;
    while reader.earliest() < below {
        let from = reader.earliest();
        let to = Height(below.0.min(from.0 + CHUNK));
        let mut changes = Changes::new(Database::Main);
        // Last height of each rollup in this chunk: its leaf there stays part of the tree until a later
        // one takes its place, older ones do not.
        let mut leaves = BTreeMap::new();
        for height in from.0..to.0 {
            let Some(block) = reader.block(Height(height))? else {
                continue;
            };
            changes.delete(Table::BlockHashes, *block.committed.hash.as_bytes());
            for part in &block.rollups {
                let (rollup, number) = (part.leaf.rollup, part.leaf.number);
                leaves.insert(rollup, height);
                // The last number of a rollup is kept however old it is: the next block counts on.
                if reader
                    .rollup_block(rollup, u64::MAX)?
                    .is_some_and(|(last, _)| last > number)
                {
                    changes.delete(
                        Table::RollupBlocks,
                        super::reader::rollup_key(rollup, number),
                    );
                }
            }
        }
        for (rollup, last) in leaves {
            let key = |height| super::reader::rollup_key(rollup, height);
            changes.delete_range(Table::RollupStates, key(0), key(last));
        }
        changes.delete_range(Table::Blocks, from.0.to_be_bytes(), to.0.to_be_bytes());
        changes.delete_range(
            Table::Certificates,
            from.0.to_be_bytes(),
            to.0.to_be_bytes(),
        );
        // Readers stop asking for these blocks before they go.
        reader.set_earliest(to);
        opened.store.commit(changes, Box::new(|| {}));
    }
    // A batch is ordered at most this long after it came: later its transactions have expired, and
    // nobody needs its body.
    let bodies = Height(below.0.saturating_sub(expiry));
    let report = opened
        .store
        .prune_bodies(bodies, &mut |digest| opened.cache.get(digest).is_none())?;
    if report.bodies > 0 {
        tracing::info!(
            bodies = report.bodies,
            bytes = report.bytes,
            "old batches deleted"
        );
    }
    Ok(())
}
