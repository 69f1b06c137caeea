//! Parameters of the core.

use squad_primitives::{Duration, Epoch, Height, NetworkId};

/// Parameters. `network`, `epoch_blocks` and `timestamp_drift_max` must be equal on all operators (they
/// live in genesis); the others are best equal but disagreement costs only speed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Digest of the genesis.
    pub network: NetworkId,
    /// Blocks per epoch, at least 1. Epoch e ends with the block of height `(e + 1) * epoch_blocks`.
    pub epoch_blocks: u64,
    /// Least time between two proposals. Default 10 ms.
    pub block_interval_min: Duration,
    /// View timer while nothing goes wrong. Default 500 ms; several times the one-way delay.
    pub view_timeout: Duration,
    /// Upper bound of the view timer, which grows by half on consecutive timeouts. Default 8 s.
    pub view_timeout_max: Duration,
    /// Interval of retransmission, and of asking again for what is missing. Default 100 ms.
    pub rebroadcast: Duration,
    /// Longest time without a commit while there is nothing to order. Default 1 s.
    pub heartbeat_interval: Duration,
    /// How far a block's timestamp may be ahead of a voter's clock before the voter waits. Default
    /// 500 ms.
    pub timestamp_drift_max: Duration,
}

impl Config {
    /// The defaults, for a network whose epochs have a given number of blocks.
    #[must_use]
    pub const fn new(network: NetworkId, epoch_blocks: u64) -> Self {
        Self {
            network,
            epoch_blocks,
            block_interval_min: Duration::from_millis(10),
            view_timeout: Duration::from_millis(500),
            view_timeout_max: Duration::from_secs(8),
            rebroadcast: Duration::from_millis(100),
            heartbeat_interval: Duration::from_secs(1),
            timestamp_drift_max: Duration::from_millis(500),
        }
    }

    /// Height of the last block of an epoch.
    #[must_use]
    pub const fn epoch_end(&self, epoch: Epoch) -> Height {
        Height(epoch.0.saturating_add(1).saturating_mul(self.epoch_blocks))
    }

    /// How long to wait for something that is probably on its way before asking for it.
    pub(crate) fn fetch_delay(&self) -> Duration {
        self.rebroadcast / 4
    }
}
