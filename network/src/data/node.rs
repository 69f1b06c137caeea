//! What the tasks of one data plane share.

use super::{config::DataPlaneConfig, inbound::Inbound, metrics::Metrics, peer::Directory};
use quinn::Endpoint;
use std::{fmt, net::SocketAddr, sync::Arc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) struct Node {
    pub(crate) config: DataPlaneConfig,
    pub(crate) inbound: Arc<dyn Inbound>,
    pub(crate) metrics: Metrics,
    pub(crate) directory: Arc<Directory>,
    pub(crate) endpoint: Endpoint,
    pub(crate) local: SocketAddr,
    pub(crate) tracker: TaskTracker,
    pub(crate) stop: CancellationToken,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("me", &self.config.me)
            .field("local", &self.local)
            .finish_non_exhaustive()
    }
}
