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
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// What is asked for of a block's entries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Selection {
    /// Only this rollup's.
    pub(crate) rollup: Option<RollupId>,
    /// Transactions too, besides their ids.
    pub(crate) payload: bool,
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
/// and at least one. `load` gives a batch of the block by its index in the headers; only those are asked
/// for that hold transactions of this page.
pub(crate) fn page(
    block: &OrderedBlock,
    selection: Selection,
    load: impl Fn(u32) -> Result<Batch, Failure>,
    from: u32,
    bytes_limit: usize,
) -> Result<Page, Failure> {
    let mut batches = Batches {
        load,
        held: BTreeMap::new(),
    };
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
        let (entries, length) = part_entries(part, first, selection, &mut batches, &mut budget)?;
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

/// Batches of one page.
struct Batches<L> {
    load: L,
    held: BTreeMap<u32, Batch>,
}

impl<L: Fn(u32) -> Result<Batch, Failure>> Batches<L> {
    fn get(&mut self, index: u32) -> Result<&Batch, Failure> {
        match self.held.entry(index) {
            Entry::Occupied(held) => Ok(held.into_mut()),
            Entry::Vacant(free) => Ok(free.insert((self.load)(index)?)),
        }
    }
}

fn part_entries(
    part: &RollupPart,
    first: usize,
    selection: Selection,
    batches: &mut Batches<impl Fn(u32) -> Result<Batch, Failure>>,
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
    batches: &mut Batches<impl Fn(u32) -> Result<Batch, Failure>>,
) -> Result<Bytes, Failure> {
    let missing = || Failure::internal("an ordered transaction is not in its batch");
    let place = part.places.get(index).ok_or_else(missing)?;
    let batch = batches.get(place.batch)?;
    batch.encoded(place.index as usize).ok_or_else(missing)
}
