//! Attestations from operators other than the one that is followed.
//!
//! An operator's stream carries the attestations that it holds; if those are too few, the headers of
//! other operators are followed as well. Each such witness runs ahead by at most a small queue, so a
//! witness costs bounded memory, and one that is slow or dead only delays until the others suffice.

use crate::{BlockStream, Content, Endpoint, Subscription, v1};
use squad_primitives::Height;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Headers that a witness may be ahead.
const QUEUE: usize = 256;

/// What a witness says about one height.
#[derive(Debug)]
pub(crate) struct Testimony {
    height: Height,
    pub(crate) attestations: Vec<v1::Attestation>,
}

/// Other operators whose headers are followed.
#[derive(Debug)]
pub(crate) struct Witnesses(Vec<Witness>);

#[derive(Debug)]
struct Witness {
    queue: mpsc::Receiver<Testimony>,
    /// Came for a height that was not asked about yet.
    early: Option<Testimony>,
    /// Said everything about heights up to this one.
    passed: Height,
    ended: bool,
    task: JoinHandle<()>,
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Witnesses {
    /// Follows the headers of the given operators from a height on.
    pub(crate) fn start(
        endpoints: impl IntoIterator<Item = Endpoint>,
        from: Height,
        patience: Duration,
    ) -> Self {
        let start = |endpoint: Endpoint| {
            let (testify, queue) = mpsc::channel(QUEUE);
            let subscription = Subscription {
                from: Some(from),
                rollup: None,
                content: Content::Headers,
                patience,
            };
            let stream = BlockStream::new([endpoint].into(), 0, subscription);
            Witness {
                queue,
                early: None,
                passed: from.prev(),
                ended: false,
                task: tokio::spawn(testify_from(stream, testify)),
            }
        };
        Self(endpoints.into_iter().map(start).collect())
    }

    /// The next testimony about `height`, from any witness; `None` once all have spoken or ended.
    pub(crate) async fn next(&mut self, height: Height) -> Option<Testimony> {
        poll_fn(|context| {
            let mut waiting = false;
            for witness in &mut self.0 {
                loop {
                    if witness.ended || witness.passed >= height {
                        break;
                    }
                    let testimony = match witness.early.take() {
                        Some(early) => early,
                        None => match witness.queue.poll_recv(context) {
                            Poll::Ready(Some(testimony)) => testimony,
                            Poll::Ready(None) => {
                                witness.ended = true;
                                break;
                            }
                            Poll::Pending => {
                                waiting = true;
                                break;
                            }
                        },
                    };
                    if testimony.height > height {
                        witness.passed = height;
                        witness.early = Some(testimony);
                    } else {
                        witness.passed = testimony.height;
                        if testimony.height == height {
                            return Poll::Ready(Some(testimony));
                        }
                    }
                }
            }
            match waiting {
                true => Poll::Pending,
                false => Poll::Ready(None),
            }
        })
        .await
    }
}

/// Passes a stream's attestations on until it ends or nobody listens.
async fn testify_from(mut stream: BlockStream, testify: mpsc::Sender<Testimony>) {
    while let Ok(block) = stream.next().await {
        let testimony = Testimony {
            height: block.height,
            attestations: block.header.attestations,
        };
        if testify.send(testimony).await.is_err() {
            return;
        }
    }
}
