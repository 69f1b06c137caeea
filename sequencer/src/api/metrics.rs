//! Figures of the APIs. No label carries text of a client: methods are those of the services.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;
use tonic::Code;

type Label = (&'static str, &'static str);

/// Figures of the gRPC services.
#[derive(Clone, Debug)]
pub(crate) struct ApiMetrics {
    /// Open streams.
    pub(crate) streams: Gauge,
    /// Calls and streams refused by a limit per client.
    pub(crate) rate_limited: Counter,
    requests: Family<[Label; 3], Counter>,
    seconds: Family<[Label; 2], Histogram>,
    stream_aborts: Family<[Label; 1], Counter>,
}

impl ApiMetrics {
    /// Registers the figures.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            streams: Gauge::default(),
            rate_limited: Counter::default(),
            requests: Family::default(),
            // 0.1 ms to 13 s.
            seconds: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.0001, 3.0, 12))
            }),
            stream_aborts: Family::default(),
        };
        let rpc = registry.sub_registry_with_prefix("squad_rpc");
        let requests = metrics.requests.clone();
        rpc.register(
            "requests",
            "Calls by method and the code of their start",
            requests,
        );
        let seconds = metrics.seconds.clone();
        rpc.register_with_unit(
            "call",
            "Time until a call's response starts",
            Unit::Seconds,
            seconds,
        );
        rpc.register("streams", "Open streams", metrics.streams.clone());
        let aborts = metrics.stream_aborts.clone();
        rpc.register("stream_aborts", "Streams ended by the server", aborts);
        let limited = metrics.rate_limited.clone();
        rpc.register("rate_limited", "Refused by a limit per client", limited);
        metrics
    }

    /// A call's response has started.
    pub(crate) fn called(&self, method: &'static str, code: Code, took: Duration) {
        let surface = ("surface", "grpc");
        self.requests
            .get_or_create(&[surface, ("method", method), ("code", name_of(code))])
            .inc();
        self.seconds
            .get_or_create(&[surface, ("method", method)])
            .observe(took.as_secs_f64());
    }

    /// The server ended a stream.
    pub(crate) fn aborted(&self, reason: &'static str) {
        self.stream_aborts
            .get_or_create(&[("reason", reason)])
            .inc();
    }
}

const fn name_of(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
