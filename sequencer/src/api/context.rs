//! What all views of the API share: the node, limits, figures, and the tasks that follow the node once
//! for all clients.

use super::bodies::BodyCache;
use super::connections::ClientInfo;
use super::errors::Failure;
use super::history::HistoryReads;
use super::limits::{AddressLimits, Class, Rates};
use super::metrics::ApiMetrics;
use super::ordered::OrderedWaiters;
use super::own_lane::OwnLane;
use super::places::{Place, Places};
use crate::config::Config;
use crate::node::handle::NodeHandle;
use crate::node::ingress::Ingress;
use prometheus_client::metrics::gauge::Gauge;
use squad_primitives::transaction::default_expiry;
use squad_primitives::{Height, TxId};
use squad_proto::reason::Reason;
use squad_proto::v1;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// Shared by all services. Cheap to clone.
pub(crate) type Shared = Arc<Context>;

/// See the module.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) node: NodeHandle,
    pub(crate) metrics: ApiMetrics,
    pub(crate) bodies: BodyCache,
    history: HistoryReads,
    pub(crate) ordered: Arc<OrderedWaiters>,
    /// The own lane's newest batches; `None` for observers.
    pub(crate) own: Option<Arc<OwnLane>>,
    /// Largest message that clients may send.
    pub(crate) message_bytes_limit: usize,
    /// Where clients reach the gRPC services, if the listening address says so.
    pub(crate) endpoint: String,
    /// Cancelled when streams have to end.
    pub(crate) shutdown: CancellationToken,
    limits: AddressLimits,
    streams: Arc<Semaphore>,
    stream_places: Arc<Places>,
}

/// Place of an open stream in the limits; given back when dropped.
#[derive(Debug)]
pub(crate) struct StreamSlot {
    open: Gauge,
    _connection: OwnedSemaphorePermit,
    _address: Place,
    _node: OwnedSemaphorePermit,
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        self.open.dec();
    }
}

impl Context {
    /// Builds the context. Nothing runs yet.
    pub(crate) fn new(
        node: NodeHandle,
        config: &Config,
        metrics: ApiMetrics,
        endpoint: String,
        shutdown: CancellationToken,
    ) -> Self {
        let limits = &config.limits;
        let rates = Rates {
            submit: limits.submit_per_second,
            read: limits.read_per_second,
            proof: limits.proof_per_second,
        };
        let own = node.ingress.as_ref().zip(node.me);
        Self {
            own: own.map(|(ingress, me)| Arc::new(OwnLane::new(me, ingress.receipts()))),
            ordered: Arc::new(OrderedWaiters::default()),
            node,
            metrics,
            bodies: BodyCache::default(),
            history: HistoryReads::default(),
            message_bytes_limit: config.grpc.message_bytes_limit,
            endpoint,
            shutdown,
            limits: AddressLimits::new(rates, limits.trusted.clone(), Instant::now()),
            streams: Arc::new(Semaphore::new(limits.streams_max)),
            stream_places: Places::new(limits.streams_per_address, limits.trusted.clone()),
        }
    }

    /// Where transactions go.
    pub(crate) fn ingress(&self) -> Result<&Arc<Ingress>, Failure> {
        self.node.ingress.as_ref().ok_or_else(|| {
            let message = "this node is an observer: it has no lane; submit to an operator";
            Failure::new(Reason::NotACommitteeMember, message)
        })
    }

    /// Height of the last ordered block.
    pub(crate) fn head(&self) -> Height {
        self.node.hub.head()
    }

    /// A transaction that this node does not know. With the range of blocks that it holds: one whose
    /// expiry they cover was not ordered.
    pub(crate) fn unknown_tx(&self, id: &TxId) -> Failure {
        let message = format!("transaction {id} is not known here");
        Failure::new(Reason::UnknownTx, message)
            .with("head_height", self.head())
            .with("earliest_height", self.node.reader.earliest())
    }

    /// The expiry that an expiry of 0 stands for.
    pub(crate) fn default_expiry(&self) -> Height {
        default_expiry(self.head(), self.node.genesis.consensus.expiry_max_blocks)
    }

    /// Runs what reads the block at a height and its batches: at once if it is among the newest, else
    /// when history has its turn.
    pub(crate) async fn read_at<T: Send + 'static>(
        &self,
        height: Height,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        match self.node.hub.recent(height) {
            Some(_) => blocking(work).await,
            None => self.history.run(work).await,
        }
    }

    /// Runs what reads history.
    pub(crate) async fn read_history<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        self.history.run(work).await
    }

    /// Takes all places of those who read history.
    #[cfg(test)]
    pub(crate) fn occupy_history(&self) -> OwnedSemaphorePermit {
        self.history.occupy()
    }

    /// Takes tokens from the client's bucket.
    pub(crate) fn take(&self, client: &ClientInfo, class: Class, cost: u32) -> Result<(), Failure> {
        self.take_of(client.address, class, cost)
    }

    /// Takes tokens from an address' bucket.
    pub(crate) fn take_of(&self, from: IpAddr, class: Class, cost: u32) -> Result<(), Failure> {
        self.limits
            .take(from, class, cost, Instant::now())
            .map_err(|wait| {
                self.metrics.rate_limited.inc();
                let message = "more calls from this address than its limit allows";
                Failure::new(Reason::RateLimit, message).after(wait)
            })
    }

    /// Waits until the client's bucket covers `cost`.
    pub(crate) async fn take_later(&self, client: &ClientInfo, class: Class, cost: u32) {
        while let Err(wait) = self
            .limits
            .take(client.address, class, cost, Instant::now())
        {
            tokio::time::sleep(wait).await;
        }
    }

    /// Counts a stream that opens.
    pub(crate) fn open_stream(&self, client: &ClientInfo) -> Result<StreamSlot, Failure> {
        let full = |of| {
            self.metrics.rate_limited.inc();
            let message = format!("no more streams on this {of}");
            Failure::new(Reason::TooManyStreams, message)
        };
        let permit = |streams: &Arc<Semaphore>, of| {
            let permit = Arc::clone(streams).try_acquire_owned();
            permit.map_err(|_| full(of))
        };
        let connection = permit(&client.streams, "connection")?;
        let place = self.stream_places.take(client.address);
        let address = place.ok_or_else(|| full("address"))?;
        let node = permit(&self.streams, "node")?;
        self.metrics.streams.inc();
        Ok(StreamSlot {
            open: self.metrics.streams.clone(),
            _connection: connection,
            _address: address,
            _node: node,
        })
    }

    /// First item of a stream.
    pub(crate) fn hello(&self) -> v1::Hello {
        v1::Hello {
            network_id: super::proofs::bytes_of(&self.node.network),
            head_height: self.head().0,
            earliest_height: self.node.reader.earliest().0,
        }
    }
}

/// Runs what may wait for the disk away from the tasks that serve sockets.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        // A panic has ended the process already; what is left is a runtime that stops.
        .unwrap_or_else(|_| Err(Failure::shutting_down()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::TestNode;

    #[tokio::test]
    async fn one_address_can_t_take_all_streams() {
        let node = TestNode::operator(0);
        let ctx = node.context();
        let connection = |host| ClientInfo {
            address: [203, 0, 113, host].into(),
            streams: Arc::new(Semaphore::new(64)),
        };
        let mut held = Vec::new();
        for _ in 0..4 {
            let client = connection(1);
            held.extend((0..64).map(|_| ctx.open_stream(&client).unwrap()));
        }
        let failure = ctx.open_stream(&connection(1)).unwrap_err();
        assert_eq!(failure.reason(), Reason::TooManyStreams);
        ctx.open_stream(&connection(2)).unwrap();
        held.pop();
        ctx.open_stream(&connection(1)).unwrap();
    }
}
