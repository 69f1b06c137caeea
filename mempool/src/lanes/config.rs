//! Settings and bounds of the lanes.

use squad_primitives::message::HEADERS_PER_PAGE;
use squad_primitives::{Duration, NetworkId, OperatorId};

/// Settings of the lanes. The durations are local; `block_bytes_max`, `coverage_delay` are equal on all
/// operators (genesis).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LanesConfig {
    /// The network.
    pub network: NetworkId,
    /// This operator; `None` for an observer, which follows lanes but has none and acknowledges nothing.
    pub me: Option<OperatorId>,
    /// Most bytes of bodies in one block.
    pub block_bytes_max: u64,
    /// How long a certified tip may stay out of cuts, counted from the own broadcast of its proof.
    pub coverage_delay: Duration,
    /// How often something unanswered is sent again.
    pub rebroadcast: Duration,
    /// How long an own proof waits for a batch to travel with before it is sent to all alone.
    pub poa_alone_after: Duration,
    /// How long one operator is given to answer before the next one is asked: about two round trips.
    pub fetch_hedge: Duration,
    /// Most batches of a lane ahead of its last committed tip.
    pub window_batches: u64,
    /// Most bytes of a lane ahead of its last committed tip.
    pub window_bytes: u64,
}

impl LanesConfig {
    /// The defaults for an operator (`Some`) or an observer (`None`) of a network.
    #[must_use]
    pub const fn new(network: NetworkId, me: Option<OperatorId>) -> Self {
        Self {
            network,
            me,
            block_bytes_max: 16 << 20,
            coverage_delay: Duration::from_millis(500),
            rebroadcast: Duration::from_millis(100),
            poa_alone_after: Duration::from_millis(5),
            fetch_hedge: Duration::from_millis(50),
            // At 100 batches per second and lane: ten seconds without a commit.
            window_batches: 1_024,
            // At 25,000 transactions of 550 bytes per second and lane: 4.5 seconds.
            window_bytes: 64 << 20,
        }
    }

    /// How far above the last committed tip headers of others are kept: twice the window, since this
    /// operator may learn of a commit later than the lane's owner.
    pub(crate) const fn horizon(&self) -> u64 {
        self.window_batches.saturating_mul(2)
    }
}

/// Most branches of a lane kept at one position. Two already are evidence; more are only kept for a
/// branch that consensus asks for.
pub(crate) const FORKS_PER_SEQ_MAX: usize = 4;

/// Most proofs kept per lane: the oldest ones, which the next blocks need, and the newest. At 512 KiB a
/// batch, 63 batches fill a block of 16 MiB twice.
pub(crate) const POAS_PER_LANE_MAX: usize = 64;

/// Most tips per lane whose headers or bodies are being collected.
pub(crate) const TARGETS_PER_LANE_MAX: usize = 8;

/// Most bodies per lane that are asked for at one time: 16 × 512 KiB = 8 MiB on the way.
pub(crate) const FETCHES_PER_LANE_MAX: usize = 16;

/// Headers that are looked through for one peer per `rebroadcast`. An honest operator that lags asks for
/// one gap per lane at a time, mostly a short one: this is four of the longest, or a short one for each
/// lane of a committee of 400.
pub(crate) const HEADERS_ALLOWANCE: u64 = 33 * HEADERS_PER_PAGE as u64;

/// Most that one request costs for the headers that it spans: so many are looked through in storage.
pub(crate) const HEADERS_SPAN_MAX: u64 = 8 * HEADERS_PER_PAGE as u64;

/// What a request costs of [`HEADERS_ALLOWANCE`] besides the headers that it spans.
pub(crate) const HEADERS_REQUEST_COST: u64 = 16;

/// Most own batches sent again to one peer in answer to one status: 16 × 512 KiB = 8 MiB.
pub(crate) const RESENDS_PER_STATUS: u64 = 16;
