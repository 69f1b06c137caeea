//! `FinalityService`: certificates, what they cover, and alerts.

use super::{Items, client};
use crate::api::context::{Context, Shared, StreamSlot, blocking};
use crate::api::errors::Failure;
use crate::api::finality;
use crate::node::mach::Finality;
use futures::stream::try_unfold;
use squad_primitives::Height;
use squad_proto::mach;
use squad_proto::mach::finality_service_server::FinalityService;
use squad_proto::mach::{subscribe_alerts_response, subscribe_certificates_response};
use squad_proto::v1;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

/// Silence after which a heartbeat is sent.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);

/// The service.
#[derive(Debug)]
pub(super) struct Service(pub(super) Shared);

impl Service {
    /// Runs a read away from the tasks that serve sockets.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Context) -> Result<T, Failure> + Send + 'static,
    ) -> Result<Response<T>, Status> {
        let ctx = Arc::clone(&self.0);
        Ok(Response::new(blocking(move || work(&ctx)).await?))
    }
}

#[tonic::async_trait]
impl FinalityService for Service {
    async fn get_certificate(
        &self,
        request: Request<mach::GetCertificateRequest>,
    ) -> Result<Response<mach::GetCertificateResponse>, Status> {
        let height = request.get_ref().height;
        self.read(move |ctx| finality::certificate(ctx, height))
            .await
    }

    type SubscribeCertificatesStream = Items<mach::SubscribeCertificatesResponse>;

    async fn subscribe_certificates(
        &self,
        request: Request<mach::SubscribeCertificatesRequest>,
    ) -> Result<Response<Self::SubscribeCertificatesStream>, Status> {
        let slot = self.0.open_stream(&client(&request)?)?;
        let stream = Certificates::open(&self.0, request.get_ref().from_height, slot)?;
        let items = try_unfold(stream, |mut stream| async move {
            let item = stream.next().await?;
            Ok(Some((item, stream)))
        });
        Ok(Response::new(Box::pin(items)))
    }

    async fn is_final(
        &self,
        request: Request<mach::IsFinalRequest>,
    ) -> Result<Response<mach::IsFinalResponse>, Status> {
        let request = request.into_inner();
        self.read(move |ctx| finality::is_final(ctx, &request))
            .await
    }

    async fn get_handover(
        &self,
        request: Request<mach::GetHandoverRequest>,
    ) -> Result<Response<mach::GetHandoverResponse>, Status> {
        let request = request.into_inner();
        self.read(move |ctx| finality::handovers(ctx, &request))
            .await
    }

    type SubscribeAlertsStream = Items<mach::SubscribeAlertsResponse>;

    async fn subscribe_alerts(
        &self,
        request: Request<mach::SubscribeAlertsRequest>,
    ) -> Result<Response<Self::SubscribeAlertsStream>, Status> {
        let slot = self.0.open_stream(&client(&request)?)?;
        let stream = Alerts::open(&self.0, request.into_inner().kinds, slot)?;
        let items = try_unfold(stream, |mut stream| async move {
            let item = stream.next().await?;
            Ok(Some((item, stream)))
        });
        Ok(Response::new(Box::pin(items)))
    }
}

/// Waits for a change of a watched value; `false` after [`HEARTBEAT_INTERVAL`] without one.
async fn changed<T>(ctx: &Context, watched: &mut watch::Receiver<T>) -> Result<bool, Failure> {
    tokio::select! {
        changed = watched.changed() => changed.map(|()| true).map_err(|_| Failure::shutting_down()),
        () = tokio::time::sleep(HEARTBEAT_INTERVAL) => Ok(false),
        () = ctx.shutdown.cancelled() => Err(Failure::shutting_down()),
    }
}

fn heartbeat(ctx: &Context) -> v1::Heartbeat {
    v1::Heartbeat {
        head_height: ctx.head().0,
    }
}

/// Certificates in height order, replayed from the store and joined to live.
struct Certificates {
    ctx: Shared,
    finality: Arc<Finality>,
    certified: watch::Receiver<Height>,
    /// `None` before the first item.
    next: Option<Height>,
    from: Height,
    _slot: StreamSlot,
}

impl Certificates {
    fn open(ctx: &Shared, from: u64, slot: StreamSlot) -> Result<Self, Failure> {
        let finality = Arc::clone(finality::of(ctx)?);
        let certified = finality.subscribe_certified();
        let from = match from {
            0 => certified.borrow().next(),
            height => Height(height),
        };
        let earliest = ctx.node.reader.earliest();
        if from < earliest {
            return Err(Failure::pruned(from, earliest));
        }
        Ok(Self {
            ctx: Arc::clone(ctx),
            finality,
            certified,
            next: None,
            from,
            _slot: slot,
        })
    }

    async fn next(&mut self) -> Result<mach::SubscribeCertificatesResponse, Failure> {
        use subscribe_certificates_response::Item;
        let item = |item| mach::SubscribeCertificatesResponse { item: Some(item) };
        let Some(next) = self.next else {
            self.next = Some(self.from);
            return Ok(item(Item::Hello(self.ctx.hello())));
        };
        loop {
            if *self.certified.borrow_and_update() >= next {
                let ctx = Arc::clone(&self.ctx);
                let found = blocking(move || Ok(ctx.node.reader.certificate_from(next)?)).await?;
                if let Some(found) = found {
                    self.next = Some(found.statement.height.next());
                    let message = finality::message(&self.finality, &found);
                    return Ok(item(Item::Certificate(message)));
                }
            }
            if !changed(&self.ctx, &mut self.certified).await? {
                return Ok(item(Item::Heartbeat(heartbeat(&self.ctx))));
            }
        }
    }
}

/// Alerts: what there is, then each change.
struct Alerts {
    ctx: Shared,
    finality: Arc<Finality>,
    alerted: watch::Receiver<u64>,
    kinds: Vec<i32>,
    greeted: bool,
    version: u64,
    ready: VecDeque<mach::Alert>,
    _slot: StreamSlot,
}

impl Alerts {
    fn open(ctx: &Shared, kinds: Vec<i32>, slot: StreamSlot) -> Result<Self, Failure> {
        let finality = Arc::clone(finality::of(ctx)?);
        for kind in &kinds {
            if !mach::AlertKind::is_valid(*kind) || *kind == 0 {
                return Err(Failure::field(
                    "kinds",
                    format_args!("unknown value {kind}"),
                ));
            }
        }
        Ok(Self {
            ctx: Arc::clone(ctx),
            alerted: finality.subscribe_alerts(),
            finality,
            kinds,
            greeted: false,
            version: 0,
            ready: VecDeque::new(),
            _slot: slot,
        })
    }

    async fn next(&mut self) -> Result<mach::SubscribeAlertsResponse, Failure> {
        use subscribe_alerts_response::Item;
        let item = |item| mach::SubscribeAlertsResponse { item: Some(item) };
        if !std::mem::replace(&mut self.greeted, true) {
            return Ok(item(Item::Hello(self.ctx.hello())));
        }
        loop {
            if let Some(alert) = self.ready.pop_front() {
                return Ok(item(Item::Alert(alert)));
            }
            self.alerted.borrow_and_update();
            for record in self.finality.alerts_since(self.version) {
                self.version = record.version;
                let alert = finality::alert(&record);
                if self.kinds.is_empty() || self.kinds.contains(&alert.kind) {
                    self.ready.push_back(alert);
                }
            }
            if self.ready.is_empty() && !changed(&self.ctx, &mut self.alerted).await? {
                return Ok(item(Item::Heartbeat(heartbeat(&self.ctx))));
            }
        }
    }
}
