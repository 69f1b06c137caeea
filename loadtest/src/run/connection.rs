//! The connections that carry a run's transactions.

use super::tracker::Tracker;
use super::{Clock, lock};
use squad_client::{Answers, Endpoint, Refusal, SendError, StreamConfig, SubmitSender, v1};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Wait before a broken connection is made again.
const RECONNECT_DELAY: Duration = Duration::from_millis(200);

/// One stream to one operator. The pacing thread sends, a task reads the answers and reconnects.
#[derive(Debug)]
pub struct Connection {
    sender: Mutex<Option<SubmitSender>>,
    closing: AtomicBool,
}

impl Connection {
    /// A connection that is still closed.
    #[must_use]
    pub fn new() -> Self {
        Self {
            sender: Mutex::new(None),
            closing: AtomicBool::new(false),
        }
    }

    /// Hands over one message and never waits. Gives it back if there is no room or no connection.
    pub fn try_send(
        &self,
        message: Vec<v1::StreamTransaction>,
    ) -> Result<(), Vec<v1::StreamTransaction>> {
        match &*lock(&self.sender) {
            None => Err(message),
            Some(sender) => sender.try_send(message).map_err(|error| match error {
                SendError::Full(message) | SendError::Closed(message) => message,
                other => unreachable!("try_send gives the message back: {other}"),
            }),
        }
    }

    /// Sends no more; the answers still come.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        lock(&self.sender).take();
    }

    /// Connects and reads answers until the connection is closed and all answers came; reconnects when
    /// it breaks. `opened` is told once, after the first attempt.
    pub async fn serve(
        &self,
        endpoint: Endpoint,
        config: StreamConfig,
        tracker: Arc<Mutex<Tracker>>,
        clock: Clock,
        opened: tokio::sync::oneshot::Sender<Result<(), Refusal>>,
    ) {
        let mut opened = Some(opened);
        loop {
            let result = match endpoint.open_submit_stream(config).await {
                Ok((sender, answers)) => {
                    *lock(&self.sender) = Some(sender);
                    tell(&mut opened, Ok(()));
                    if self.closing.load(Ordering::Relaxed) {
                        self.close();
                    }
                    let result = read(answers, &tracker, &clock).await;
                    lock(&self.sender).take();
                    result
                }
                Err(refusal) => Err(refusal),
            };
            if let Err(refusal) = result {
                lock(&tracker).on_error(format!("stream: {}", refusal.label()), 1);
                tell(&mut opened, Err(refusal));
            }
            if self.closing.load(Ordering::Relaxed) {
                return;
            }
            tokio::time::sleep(RECONNECT_DELAY).await;
        }
    }
}

impl Default for Connection {
    fn default() -> Self {
        Self::new()
    }
}

async fn read(
    mut answers: Answers,
    tracker: &Mutex<Tracker>,
    clock: &Clock,
) -> Result<(), Refusal> {
    while let Some(group) = answers.next().await? {
        lock(tracker).on_answers(group, clock.now_us());
    }
    Ok(())
}

fn tell(
    opened: &mut Option<tokio::sync::oneshot::Sender<Result<(), Refusal>>>,
    result: Result<(), Refusal>,
) {
    if let Some(opened) = opened.take() {
        // Nobody listens any more if the run was given up.
        opened.send(result).ok();
    }
}
