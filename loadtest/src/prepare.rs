//! `prepare-mainnet`: turns blocks in JSON form into a transaction file.

use crate::eth::block::Block;
use crate::txfile;
use anyhow::Context;
use std::path::{Path, PathBuf};

/// Reads every `*.json` in `blocks`, in order of block number, checks each transaction's hash, and
/// writes `out`. Returns the number of transactions.
///
/// # Errors
/// An unreadable file, JSON that is no block, or a transaction whose encoding has another hash.
pub fn prepare(blocks: &Path, out: &Path) -> anyhow::Result<usize> {
    let transactions = encode_all(blocks)?;
    std::fs::write(out, txfile::write(&transactions))
        .with_context(|| format!("write {}", out.display()))?;
    Ok(transactions.len())
}

fn encode_all(blocks: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut transactions = Vec::new();
    for path in block_files(blocks)? {
        let text = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let block: Block = serde_json::from_slice(&text)
            .with_context(|| format!("{}: not a block with transactions", path.display()))?;
        for transaction in &block.transactions {
            let raw = transaction.encode();
            transactions.push(raw.with_context(|| path.display().to_string())?);
        }
    }
    anyhow::ensure!(
        !transactions.is_empty(),
        "{}: no transactions",
        blocks.display()
    );
    Ok(transactions)
}

fn block_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            files.push((stem.parse::<u64>().unwrap_or(u64::MAX), path));
        }
    }
    files.sort();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}
