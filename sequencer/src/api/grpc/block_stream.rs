//! `SubscribeBlocks`: blocks in height order, replayed from the store and joined to live.
//!
//! A block is one item, or several if its entries fill more than about 256 KiB; the first carries the
//! header. `headers_only` gives one item per block without entries; with a rollup, the header still
//! holds the proof of its part. Items are equal on all nodes but for the header's signatures
//! (`api::proofs`).

use crate::api::blocks::BlockReader;
use crate::api::context::Shared;
use crate::api::cursor::{CursorForm, Position, Stage};
use crate::api::entries::{Page, Selection, page};
use crate::api::errors::Failure;
use crate::api::feed::{Item, Source};
use crate::api::proofs;
use crate::node::record::OrderedBlock;
use bytes::Bytes;
use squad_primitives::{Height, RollupId};
use squad_proto::v1;
use squad_proto::v1::subscribe_blocks_request::From;
use std::sync::Arc;

/// Entries of one item, in bytes: what a stream that is not read holds, and 4,096 of them together 1 GiB.
const PART_BYTES: usize = 256 << 10;

/// Source of the stream.
#[derive(Debug)]
pub(super) struct Blocks {
    ctx: Shared,
    selection: Selection,
    headers_only: bool,
    blocks: BlockReader,
    position: Position,
    /// The block at `position`, once it was read. Its batches are loaded for each item: a reader that
    /// stops in the middle of a block must not hold them.
    current: Option<Arc<OrderedBlock>>,
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

    /// The next entries of a block.
    async fn page(&self, block: &Arc<OrderedBlock>) -> Result<Page, Failure> {
        let (selection, from) = (self.selection, self.position.index);
        if self.headers_only {
            return Ok(Page::default());
        }
        let (ctx, read) = (Arc::clone(&self.ctx), Arc::clone(block));
        let work = move || {
            let load = |index| ctx.bodies.of_block(&ctx.node, &read, index);
            page(&read, selection, load, from, PART_BYTES)
        };
        match selection.payload {
            true => self.ctx.read_at(block.height(), work).await,
            // Reads nothing.
            false => work(),
        }
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
        let block = match &self.current {
            Some(block) => Arc::clone(block),
            None => self.blocks.wait_for(self.position.height).await?,
        };
        self.current = Some(Arc::clone(&block));
        let from = self.position.index;
        let Page { entries, next } = self.page(&block).await?;
        let part = v1::BlockPart {
            height: block.height().0,
            header: (from == 0).then(|| proofs::header(&self.ctx, &block, self.selection.rollup)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::connections::ClientInfo;
    use crate::api::feed::feed;
    use crate::api::testing::{ROLLUPS, TestNode, transaction};
    use futures::StreamExt as _;
    use futures::future::poll_immediate;
    use futures::stream::BoxStream;
    use tokio::sync::Semaphore;
    use v1::subscribe_blocks_response::Item as Message;

    fn subscribe(
        ctx: &Shared,
        from: Option<From>,
    ) -> BoxStream<'static, Result<v1::SubscribeBlocksResponse, tonic::Status>> {
        let request = v1::SubscribeBlocksRequest {
            from,
            include_payload: true,
            ..Default::default()
        };
        let client = ClientInfo {
            address: [127, 0, 0, 1].into(),
            streams: Arc::new(Semaphore::new(1)),
        };
        let slot = ctx.open_stream(&client).unwrap();
        let (source, form) = Blocks::open(ctx, &request).unwrap();
        feed(Arc::clone(ctx), source, form, slot)
    }

    fn part(item: Option<Result<v1::SubscribeBlocksResponse, tonic::Status>>) -> v1::BlockPart {
        match item.expect("the stream ended").unwrap().item {
            Some(Message::Block(part)) => part,
            other => panic!("{other:?}"),
        }
    }

    /// Readers of history wait for each other, those who follow the head for nobody.
    #[tokio::test]
    async fn who_follows_the_head_does_not_wait_for_those_who_read_history() {
        let node = TestNode::operator(0);
        let order = |number| {
            node.order(&[node.batch(0, &[transaction(ROLLUPS[0], number + 10, number, 8)])]);
        };
        // More than are kept in memory.
        (0..200).for_each(order);
        let ctx = node.context();
        let mut old = subscribe(&ctx, Some(From::FromHeight(1)));
        let mut live = subscribe(&ctx, None);
        for stream in [&mut old, &mut live] {
            let hello = stream.next().await.unwrap().unwrap();
            assert!(matches!(hello.item, Some(Message::Hello(_))));
        }
        let occupied = ctx.occupy_history();
        assert!(poll_immediate(old.next()).await.is_none());
        for number in 200..210 {
            order(number);
            let part = part(live.next().await);
            assert_eq!(part.height, number + 1);
            assert_eq!(part.entries[0].transactions.len(), 1);
        }
        assert!(poll_immediate(old.next()).await.is_none());
        drop(occupied);
        for height in 1..=210 {
            let part = part(old.next().await);
            assert_eq!(
                (part.height, part.entries[0].transactions.len()),
                (height, 1)
            );
        }
    }
}
