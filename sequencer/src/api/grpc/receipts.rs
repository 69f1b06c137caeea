//! `SubscribeReceipts`: this operator's receipts in lane order.
//!
//! The newest batches come from memory, older ones from the blocks that ordered them. A batch that was
//! durable before a restart and is not ordered yet comes once it is.

use crate::api::blocks::batch_in;
use crate::api::context::{Context, Shared};
use crate::api::cursor::{CursorForm, Position, Stage};
use crate::api::errors::Failure;
use crate::api::feed::{Item, Source};
use crate::api::own_lane::OwnLane;
use crate::api::proofs::receipt_group;
use crate::node::record::OrderedBlock;
use bytes::Bytes;
use squad_primitives::merkle::Tree;
use squad_primitives::{Batch, BatchSeq, Height, RollupId};
use squad_proto::v1;
use std::sync::Arc;
use tokio::sync::watch;

/// Receipts of one item, and with paths.
const RECEIPTS_MAX: usize = 4_096;
const PATHS_MAX: usize = 1_024;

/// Source of the stream.
#[derive(Debug)]
pub(super) struct Receipts {
    ctx: Shared,
    own: Arc<OwnLane>,
    rollup: Option<RollupId>,
    want_receipt: bool,
    tip: watch::Receiver<BatchSeq>,
    head: watch::Receiver<Height>,
    position: Position,
    current: Option<Current>,
    /// Block that the last batch was found in; the next one is mostly there, or in the block after.
    last: Option<Arc<OrderedBlock>>,
}

/// The batch at the position.
#[derive(Debug)]
struct Current {
    batch: Batch,
    /// Indices of the transactions that match.
    indices: Vec<u32>,
    tree: Option<Tree>,
}

impl Receipts {
    /// Checks a request. The stream starts with the next batch or at a cursor.
    pub(super) fn open(
        ctx: &Shared,
        request: &v1::SubscribeReceiptsRequest,
    ) -> Result<(Self, CursorForm), Failure> {
        ctx.ingress()?;
        let own = ctx.own.as_ref().ok_or_else(Failure::shutting_down)?;
        let rollup = request.rollup_id.map(u64::to_be_bytes);
        let form = CursorForm::new(
            &ctx.node.network,
            "squad/cursor/receipts/v1",
            &[
                &own.lane().0.to_be_bytes(),
                rollup.as_ref().map_or(&[], |id| id.as_slice()),
                &[u8::from(request.want_receipt)],
            ],
        );
        let position = if request.from_cursor.is_empty() {
            Position::start(Stage::Accepted, Height(tip(ctx, own).next().0))
        } else {
            form.decode("from_cursor", &request.from_cursor)?
        };
        if position.stage != Stage::Accepted || position.height == Height::ZERO {
            return Err(Failure::bad_cursor("from_cursor"));
        }
        let source = Self {
            rollup: request.rollup_id.map(RollupId),
            want_receipt: request.want_receipt,
            tip: own.subscribe(),
            head: ctx.node.hub.subscribe(),
            position,
            current: None,
            last: None,
            own: Arc::clone(own),
            ctx: Arc::clone(ctx),
        };
        Ok((source, form))
    }

    fn seq(&self) -> BatchSeq {
        BatchSeq(self.position.height.0)
    }

    /// The batch at the position, once there is one.
    async fn wait(&mut self) -> Result<Batch, Failure> {
        loop {
            // Marked as seen before looking, so that nothing is missed in between.
            self.tip.borrow_and_update();
            self.head.borrow_and_update();
            let seq = self.seq();
            if let Some(batch) = self.own.get(seq) {
                return Ok(batch);
            }
            // Above the tip there is nothing to look for. It is not known before the first batch since
            // the start.
            let known = self.own.tip() > BatchSeq::ZERO;
            if !known || seq <= tip(&self.ctx, &self.own) {
                let (ctx, lane, last) = (Arc::clone(&self.ctx), self.own.lane(), self.last.clone());
                let read = move || ordered(&ctx, lane, seq, last);
                if let Some((batch, block)) = self.ctx.read_history(read).await? {
                    self.last = Some(block);
                    return Ok(batch);
                }
            }
            let changed = tokio::select! {
                changed = self.tip.changed() => changed,
                changed = self.head.changed() => changed,
            };
            changed.map_err(|_| Failure::shutting_down())?;
        }
    }
}

/// Last own batch. Before the first one since the start, the node's status knows it.
fn tip(ctx: &Context, own: &OwnLane) -> BatchSeq {
    own.tip().max(ctx.node.status.borrow().own_tip)
}

/// An own batch that is ordered, and its block.
fn ordered(
    ctx: &Context,
    lane: squad_primitives::OperatorId,
    seq: BatchSeq,
    last: Option<Arc<OrderedBlock>>,
) -> Result<Option<(Batch, Arc<OrderedBlock>)>, Failure> {
    let after = |block: &Arc<OrderedBlock>| ctx.node.block(block.height().next());
    let near = match last {
        Some(block) if batch_in(&block, lane, seq).is_some() => Some(block),
        Some(block) => after(&block)?.filter(|block| batch_in(block, lane, seq).is_some()),
        None => None,
    };
    let block = match near {
        Some(block) => Some(block),
        None => ctx.block_of_batch(lane, seq)?.map(|(block, _)| block),
    };
    let Some(block) = block else {
        return Ok(None);
    };
    let signed = batch_in(&block, lane, seq).and_then(|index| block.headers.get(index));
    let Some(signed) = signed else {
        return Err(Failure::internal(
            "a batch is not in the block that orders it",
        ));
    };
    let digest = signed.header.digest(&ctx.node.network);
    Ok(Some((ctx.bodies.load(&ctx.node, &digest)?, block)))
}

impl Source for Receipts {
    type Content = v1::ReceiptGroup;
    type Message = v1::SubscribeReceiptsResponse;

    fn position(&self) -> Position {
        self.position
    }

    async fn next(&mut self) -> Result<Option<v1::ReceiptGroup>, Failure> {
        loop {
            if self.current.is_none() {
                let batch = self.wait().await?;
                let matches = |index: &u32| {
                    let meta = batch.meta(*index as usize);
                    self.rollup
                        .is_none_or(|r| meta.is_some_and(|meta| meta.rollup == r))
                };
                let indices = (0..batch.header().tx_count).filter(matches).collect();
                self.current = Some(Current {
                    indices,
                    tree: self.want_receipt.then(|| Tree::new(batch.ids())),
                    batch,
                });
            }
            let Some(current) = &self.current else {
                continue;
            };
            let limit = if self.want_receipt {
                PATHS_MAX
            } else {
                RECEIPTS_MAX
            };
            let from = self.position.index as usize;
            let chunk = current.indices.get(from..).unwrap_or_default();
            let chunk: Vec<u32> = chunk.iter().copied().take(limit).collect();
            let end = from + chunk.len();
            let group = (!chunk.is_empty())
                .then(|| receipt_group(&current.batch, chunk, current.tree.as_ref()));
            if end < current.indices.len() {
                self.position.index = u32::try_from(end).unwrap_or(u32::MAX);
            } else {
                self.position = Position::start(Stage::Accepted, self.position.height.next());
                self.current = None;
            }
            if group.is_some() {
                return Ok(group);
            }
        }
    }

    fn message(cursor: Bytes, sequence: u64, item: Item<v1::ReceiptGroup>) -> Self::Message {
        use v1::subscribe_receipts_response::Item as Message;
        v1::SubscribeReceiptsResponse {
            cursor,
            sequence,
            item: Some(match item {
                Item::Hello(hello) => Message::Hello(hello),
                Item::Content(group) => Message::Receipts(group),
                Item::Heartbeat(heartbeat) => Message::Heartbeat(heartbeat),
            }),
        }
    }
}
