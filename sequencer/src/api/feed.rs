//! What all resumable streams have in common: a `Hello` first, a dense `sequence`, a `Heartbeat` after
//! five seconds of silence, an end when the node stops.
//!
//! **Slow readers.** Items are made when the transport asks for the next one, from blocks in memory or
//! in the store. Nothing is queued per stream, so a reader that lags costs no memory beyond one message
//! and the transport's window, however far it falls behind. Its stream ends with
//! `ABORTED / SLOW_CONSUMER` when what it needs next has been pruned; the cursor in the error says how
//! far it came.

use super::context::{Context, Shared, StreamSlot};
use super::cursor::{CursorForm, Position};
use super::errors::Failure;
use bytes::Bytes;
use futures::Stream;
use futures::stream::BoxStream;
use squad_proto::reason::Reason;
use squad_proto::v1;
use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;
use tonic::Status;

/// Silence after which a heartbeat is sent.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);

/// One item of a stream.
#[derive(Debug)]
pub(crate) enum Item<T> {
    /// The first.
    Hello(v1::Hello),
    /// What the stream is about.
    Content(T),
    /// A sign of life.
    Heartbeat(v1::Heartbeat),
}

/// Where a stream's items come from.
pub(crate) trait Source: Send + 'static {
    /// Content of an item.
    type Content: Send;
    /// Message on the wire.
    type Message: Send;

    /// What continues after the last item.
    fn position(&self) -> Position;

    /// The next item, once there is one; `None` after the last. Dropping the future before it is ready
    /// loses nothing.
    fn next(&mut self) -> impl Future<Output = Result<Option<Self::Content>, Failure>> + Send;

    /// Puts an item into its message.
    fn message(cursor: Bytes, sequence: u64, item: Item<Self::Content>) -> Self::Message;
}

struct Feed<S> {
    ctx: Shared,
    source: S,
    form: CursorForm,
    sequence: u64,
    silence: Duration,
    ended: bool,
    _slot: StreamSlot,
}

/// The stream of a source.
pub(crate) fn feed<S: Source>(
    ctx: Shared,
    source: S,
    form: CursorForm,
    slot: StreamSlot,
) -> BoxStream<'static, Result<S::Message, Status>> {
    let feed = Feed {
        ctx,
        source,
        form,
        sequence: 0,
        silence: HEARTBEAT_INTERVAL,
        ended: false,
        _slot: slot,
    };
    Box::pin(items(feed))
}

fn items<S: Source>(feed: Feed<S>) -> impl Stream<Item = Result<S::Message, Status>> + Send {
    futures::stream::unfold(feed, |mut feed| async move {
        if feed.ended {
            return None;
        }
        match feed.item().await {
            Ok(Some(item)) => {
                let cursor = feed.form.encode(feed.source.position());
                let message = S::message(cursor, feed.sequence, item);
                feed.sequence += 1;
                Some((Ok(message), feed))
            }
            Ok(None) => None,
            Err(failure) => {
                feed.ended = true;
                feed.ctx.metrics.aborted(failure.reason().as_str());
                Some((Err(failure.into()), feed))
            }
        }
    })
}

impl<S: Source> Feed<S> {
    async fn item(&mut self) -> Result<Option<Item<S::Content>>, Failure> {
        if self.sequence == 0 {
            return Ok(Some(Item::Hello(self.ctx.hello())));
        }
        let silence = Instant::now() + self.silence;
        tokio::select! {
            biased;
            content = self.source.next() => match content {
                Ok(content) => Ok(content.map(Item::Content)),
                // The stream started above what was pruned then.
                Err(failure) if failure.reason() == Reason::Pruned => {
                    Err(Failure::slow_consumer(&self.form.encode(self.source.position())))
                }
                Err(failure) => Err(failure),
            },
            () = tokio::time::sleep_until(silence) => Ok(Some(Item::Heartbeat(heartbeat(&self.ctx)))),
            () = self.ctx.shutdown.cancelled() => Err(Failure::shutting_down()),
        }
    }
}

fn heartbeat(ctx: &Context) -> v1::Heartbeat {
    v1::Heartbeat {
        head_height: ctx.head().0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::connections::ClientInfo;
    use crate::api::cursor::Stage;
    use crate::api::testing::TestNode;
    use futures::StreamExt;
    use squad_primitives::Height;
    use std::sync::Arc;
    use tokio::sync::Semaphore;

    /// Never has anything to say.
    struct Silent;

    impl Source for Silent {
        type Content = ();
        type Message = (Bytes, u64, Item<()>);

        fn position(&self) -> Position {
            Position::start(Stage::Ordered, Height(9))
        }

        async fn next(&mut self) -> Result<Option<()>, Failure> {
            std::future::pending().await
        }

        fn message(cursor: Bytes, sequence: u64, item: Item<()>) -> Self::Message {
            (cursor, sequence, item)
        }
    }

    #[tokio::test]
    async fn silence_is_filled_with_heartbeats_until_the_node_stops() {
        let node = TestNode::operator(0);
        node.order(&[]);
        let ctx = node.context();
        let client = ClientInfo {
            address: [127, 0, 0, 1].into(),
            streams: Arc::new(Semaphore::new(1)),
        };
        let form = CursorForm::new(&node.network, "squad/cursor/test", &[]);
        let slot = ctx.open_stream(&client).unwrap();
        let feed = Feed {
            ctx: Arc::clone(&ctx),
            source: Silent,
            form,
            sequence: 0,
            silence: Duration::from_millis(1),
            ended: false,
            _slot: slot,
        };
        let mut items = Box::pin(items(feed));
        for expected in 0..4 {
            let (cursor, sequence, item) = items.next().await.unwrap().unwrap();
            assert_eq!(form.decode("cursor", &cursor), Ok(Silent.position()));
            assert_eq!(sequence, expected);
            match item {
                Item::Hello(hello) => assert_eq!((expected, hello.head_height), (0, 1)),
                Item::Heartbeat(beat) => assert_eq!((expected > 0, beat.head_height), (true, 1)),
                Item::Content(()) => panic!("content from nowhere"),
            }
        }
        ctx.shutdown.cancel();
        let ended = loop {
            // A heartbeat may have been due at the same moment.
            if let Err(status) = items.next().await.unwrap() {
                break status;
            }
        };
        assert_eq!(ended.code(), tonic::Code::Unavailable);
        assert!(items.next().await.is_none());
        drop(items);
        assert_eq!(client.streams.available_permits(), 1);
    }
}
