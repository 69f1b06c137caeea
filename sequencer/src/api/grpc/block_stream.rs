//! `SubscribeBlocks`: blocks in height order, replayed from the store and joined to live.
//!
//! A block is one item, or several if its entries fill more than about 1 MiB; the first carries the
//! header. `headers_only` gives one item per block without entries; with a rollup, the header still
//! holds the proof of its part. Items are equal on all nodes but for the header's signatures
//! (`api::proofs`).

use crate::api::blocks::BlockReader;
use crate::api::context::{Shared, blocking};
use crate::api::cursor::{CursorForm, Position, Stage};
use crate::api::entries::{Selection, page};
use crate::api::errors::Failure;
use crate::api::feed::{Item, Source};
use crate::api::proofs;
use crate::node::record::OrderedBlock;
use bytes::Bytes;
use squad_primitives::{Batch, Height, RollupId};
use squad_proto::v1;
use squad_proto::v1::subscribe_blocks_request::From;
use std::sync::Arc;

/// Entries of one item, in bytes.
const PART_BYTES: usize = 1 << 20;

/// A block with its batches, by index of its headers, as far as they are needed.
type Loaded = (Arc<OrderedBlock>, Arc<[Option<Batch>]>);

/// Source of the stream.
#[derive(Debug)]
pub(super) struct Blocks {
    ctx: Shared,
    selection: Selection,
    headers_only: bool,
    blocks: BlockReader,
    position: Position,
    /// The block at `position`, once it was read, with the batches that are needed.
    current: Option<Loaded>,
}

impl Blocks {
    /// Checks a request. The stream starts with the block after the head, at a height, or at a cursor.
    pub(super) fn open(
        ctx: &Shared,
        request: &v1::SubscribeBlocksRequest,
    ) -> Result<(Self, CursorForm), Failure> {
        let rollup = request.rollup_id.map(u64::to_be_bytes);
        let flags = [
            u8::from(request.include_payload),
            u8::from(request.headers_only),
        ];
        let form = CursorForm::new(
            &ctx.node.network,
            "squad/cursor/blocks/v1",
            &[rollup.as_ref().map_or(&[], |id| id.as_slice()), &flags],
        );
        let head = ctx.head();
        let position = match &request.from {
            None | Some(From::FromHeight(0)) => Position::start(Stage::Ordered, head.next()),
            Some(From::FromHeight(height)) if *height > head.0 + 1 => {
                return Err(Failure::future(Height(*height), head));
            }
            Some(From::FromHeight(height)) => Position::start(Stage::Ordered, Height(*height)),
            Some(From::FromCursor(cursor)) => ordered(form.decode("from_cursor", cursor)?)?,
        };
        let earliest = ctx.node.reader.earliest();
        if position.height < earliest {
            return Err(Failure::pruned(position.height, earliest));
        }
        let source = Self {
            ctx: Arc::clone(ctx),
            selection: Selection {
                rollup: request.rollup_id.map(RollupId),
                payload: request.include_payload,
            },
            headers_only: request.headers_only,
            blocks: BlockReader::new(Arc::clone(ctx)),
            position,
            current: None,
        };
        Ok((source, form))
    }

    async fn load(&mut self) -> Result<Loaded, Failure> {
        let block = self.blocks.wait_for(self.position.height).await?;
        if self.headers_only || !self.selection.payload {
            return Ok((block, Arc::default()));
        }
        let (ctx, selection) = (Arc::clone(&self.ctx), self.selection);
        blocking(move || {
            let wanted = selection.wants(&block);
            let batches = ctx.bodies.of_block(&ctx.node, &block, wanted)?;
            Ok((block, batches.into()))
        })
        .await
    }
}

fn ordered(position: Position) -> Result<Position, Failure> {
    match position.stage {
        Stage::Ordered => Ok(position),
        _ => Err(Failure::bad_cursor("from_cursor")),
    }
}

impl Source for Blocks {
    type Content = v1::BlockPart;
    type Message = v1::SubscribeBlocksResponse;

    fn position(&self) -> Position {
        self.position
    }

    async fn next(&mut self) -> Result<Option<v1::BlockPart>, Failure> {
        if self.current.is_none() {
            self.current = Some(self.load().await?);
        }
        let Some((block, batches)) = &self.current else {
            return Err(Failure::internal("a block that was loaded is gone"));
        };
        let from = self.position.index;
        let (entries, next) = if self.headers_only {
            (Vec::new(), None)
        } else {
            let page = page(block, self.selection, batches, from, PART_BYTES)?;
            (page.entries, page.next)
        };
        let part = v1::BlockPart {
            height: block.height().0,
            header: (from == 0).then(|| proofs::header(&self.ctx, block, self.selection.rollup)),
            entries,
            last: next.is_none(),
        };
        match next {
            Some(index) => self.position.index = index,
            None => {
                self.position = Position::start(Stage::Ordered, block.height().next());
                self.current = None;
            }
        }
        Ok(Some(part))
    }

    fn message(cursor: Bytes, sequence: u64, item: Item<v1::BlockPart>) -> Self::Message {
        use v1::subscribe_blocks_response::Item as Message;
        v1::SubscribeBlocksResponse {
            cursor,
            sequence,
            item: Some(match item {
                Item::Hello(hello) => Message::Hello(hello),
                Item::Content(part) => Message::Block(part),
                Item::Heartbeat(heartbeat) => Message::Heartbeat(heartbeat),
            }),
        }
    }
}
