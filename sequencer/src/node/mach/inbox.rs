//! The way into the thread.
//!
//! What may be lost is offered and dropped above [`WAITING_MAX`]: executed blocks, which a later block
//! covers, and messages of peers, which repeat what matters. What must arrive is told: the end of a write
//! (one is under way at most), links that come up, and the end of the node.

use squad_mach::{Attestation, Certificate, Statement};
use squad_network::data::Credit;
use squad_primitives::OperatorId;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::time::Duration;

/// Inputs that may wait. The thread takes more than 500 attestations a second; at 10 heights a second and
/// 100 operators this is a second's worth.
const WAITING_MAX: usize = 1_024;

/// What reaches the thread.
#[derive(Debug)]
pub(crate) enum MachInput {
    /// A block was executed and stored.
    Executed {
        /// The result computed here.
        statement: Statement,
        /// Timestamp of the block.
        timestamp_ms: u64,
    },
    /// A peer's message.
    Attestation(OperatorId, Box<Attestation>, Credit),
    /// A peer's message.
    Certificate(OperatorId, Box<Certificate>, Credit),
    /// The sign-once record with this ticket is synced.
    Durable(u64),
    /// A link is up.
    Connected(OperatorId),
    /// Stop.
    Shutdown,
}

/// Sending side.
#[derive(Clone, Debug)]
pub(crate) struct MachSender {
    inputs: Sender<MachInput>,
    waiting: Arc<AtomicUsize>,
}

/// Receiving side.
#[derive(Debug)]
pub(crate) struct MachReceiver {
    inputs: Receiver<MachInput>,
    waiting: Arc<AtomicUsize>,
}

/// Makes the two sides.
pub(crate) fn channel() -> (MachSender, MachReceiver) {
    let (sender, receiver) = mpsc::channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    (
        MachSender {
            inputs: sender,
            waiting: waiting.clone(),
        },
        MachReceiver {
            inputs: receiver,
            waiting,
        },
    )
}

impl MachSender {
    /// Gives an input that may be lost; whether it was taken.
    pub(crate) fn offer(&self, input: MachInput) -> bool {
        if self.waiting.load(Ordering::Relaxed) >= WAITING_MAX {
            return false;
        }
        self.tell(input);
        true
    }

    /// Gives an input that must arrive. The receiver is gone only while the process stops.
    pub(crate) fn tell(&self, input: MachInput) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _ = self.inputs.send(input);
    }
}

impl MachReceiver {
    /// The next input, or why there is none.
    pub(crate) fn recv_timeout(&self, timeout: Duration) -> Result<MachInput, RecvTimeoutError> {
        let input = self.inputs.recv_timeout(timeout)?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Ok(input)
    }

    /// The next input if it is there already.
    pub(crate) fn try_recv(&self) -> Result<MachInput, TryRecvError> {
        let input = self.inputs.try_recv()?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Ok(input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_lost_is_dropped_when_too_much_waits_and_the_rest_arrives() {
        let (sender, receiver) = channel();
        let mut taken = 0;
        while sender.offer(MachInput::Connected(OperatorId(1))) {
            taken += 1;
        }
        assert_eq!(taken, WAITING_MAX);
        sender.tell(MachInput::Durable(7));
        for _ in 0..taken {
            assert!(matches!(receiver.try_recv(), Ok(MachInput::Connected(_))));
        }
        assert!(matches!(receiver.try_recv(), Ok(MachInput::Durable(7))));
        assert!(sender.offer(MachInput::Shutdown));
    }
}
