//! Dividing the entries of a block into messages.
//!
//! Where a message ends depends only on the entries and on where it starts, never on the node or on the
//! header: so a stream that is resumed at any item goes on with the same items, on any node.

use super::errors::Failure;
use crate::node::record::{OrderedBlock, RollupPart};
use bytes::Bytes;
use squad_primitives::{Batch, RollupId};
use squad_proto::convert::digests_packed;
use squad_proto::v1;

/// What is asked for of a block's entries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Selection {
    /// Only this rollup's.
    pub(crate) rollup: Option<RollupId>,
    /// Transactions too, besides their ids.
    pub(crate) payload: bool,
}

impl Selection {
    /// Which batches are needed for the transactions of a block.
    pub(crate) fn wants(&self, block: &OrderedBlock) -> impl Fn(u32) -> bool + use<> {
        let mut wanted = vec![self.payload && self.rollup.is_none(); block.headers.len()];
        if self.payload
            && let Some(part) = self.rollup.and_then(|rollup| block.rollup(rollup))
        {
            for place in &part.places {
                if let Some(slot) = wanted.get_mut(place.batch as usize) {
                    *slot = true;
                }
            }
        }
        move |batch| wanted.get(batch as usize).copied().unwrap_or(false)
    }
}

/// Entries of one message.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// The entries.
    pub(crate) entries: Vec<v1::RollupEntries>,
    /// Where the next message starts; `None` after the last.
    pub(crate) next: Option<u32>,
}

/// Overhead of an entry in a message: keys and lengths of its fields.
const ENTRY_OVERHEAD: usize = 8;

/// The entries from the `from`th on, counted over all selected parts, up to about `bytes_limit` bytes
/// and at least one. `batches` are those of the block, by index of its headers.
pub(crate) fn page(
    block: &OrderedBlock,
    selection: Selection,
    batches: &[Option<Batch>],
    from: u32,
    bytes_limit: usize,
) -> Result<Page, Failure> {
    let selected = block
        .rollups
        .iter()
        .filter(|part| selection.rollup.is_none_or(|r| r == part.leaf.rollup));
    let mut skip = from as usize;
    let mut taken = 0_usize;
    let mut budget = bytes_limit;
    let mut page = Page::default();
    for part in selected {
        if skip >= part.ids.len() {
            skip -= part.ids.len();
            continue;
        }
        let first = std::mem::take(&mut skip);
        if budget == 0 {
            page.next = Some(from + count(taken));
            break;
        }
        let (entries, length) = part_entries(part, first, selection, batches, &mut budget)?;
        taken += length;
        page.entries.push(entries);
        if first + length < part.ids.len() {
            page.next = Some(from + count(taken));
            break;
        }
    }
    Ok(page)
}

fn count(length: usize) -> u32 {
    // Blocks hold fewer than 2^32 transactions: their bodies are limited to 256 MiB.
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn part_entries(
    part: &RollupPart,
    first: usize,
    selection: Selection,
    batches: &[Option<Batch>],
    budget: &mut usize,
) -> Result<(v1::RollupEntries, usize), Failure> {
    let mut transactions = Vec::new();
    let mut length = 0;
    while first + length < part.ids.len() && *budget > 0 {
        let mut cost = 32;
        if selection.payload {
            let transaction = transaction(part, first + length, batches)?;
            cost += transaction.len() + ENTRY_OVERHEAD;
            transactions.push(transaction);
        }
        *budget = budget.saturating_sub(cost);
        length += 1;
    }
    let entries = v1::RollupEntries {
        rollup_id: part.leaf.rollup.0,
        rollup_block_number: part.leaf.number,
        first_position: count(first),
        tx_ids: digests_packed(part.ids.iter().skip(first).take(length)),
        transactions,
    };
    Ok((entries, length))
}

fn transaction(
    part: &RollupPart,
    index: usize,
    batches: &[Option<Batch>],
) -> Result<Bytes, Failure> {
    part.places
        .get(index)
        .and_then(|place| {
            let batch = batches.get(place.batch as usize)?.as_ref()?;
            batch.encoded(place.index as usize)
        })
        .ok_or_else(|| Failure::internal("an ordered transaction is not in its batch"))
}
