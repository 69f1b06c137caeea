//! Talking to a running node.

use super::args::{ConfigArgs, GlobalArgs};
use super::exit::{Code, Failure, OrExit as _, Outcome};
use clap::Args;
use squad_client::{Endpoint, Refusal, v1};
use squad_primitives::NetworkId;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Longest wait for one answer, besides what a command itself asks the node to wait.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Which node to ask.
#[derive(Clone, Debug, Args)]
pub(crate) struct EndpointArgs {
    /// gRPC address of the node, as http://127.0.0.1:4110 [default: grpc.listen of the home's configuration]
    #[arg(
        long,
        env = "SQUAD_ENDPOINT",
        hide_env_values = true,
        value_name = "URI"
    )]
    endpoint: Option<String>,
    #[command(flatten)]
    tls: TlsArgs,
}

/// Which nodes to ask.
#[derive(Clone, Debug, Args)]
pub(crate) struct EndpointsArgs {
    /// gRPC address of a node, as http://127.0.0.1:4110; may be repeated, to ask several [default: grpc.listen of the home's configuration]
    #[arg(
        long = "endpoint",
        env = "SQUAD_ENDPOINT",
        hide_env_values = true,
        value_delimiter = ',',
        value_name = "URI"
    )]
    endpoints: Vec<String>,
    #[command(flatten)]
    tls: TlsArgs,
}

/// Whom to believe that it is the server.
#[derive(Clone, Debug, Args)]
pub(crate) struct TlsArgs {
    /// PEM file with the certificates to trust at https addresses: the server's own, or its authority's
    #[arg(
        long,
        env = "SQUAD_TLS_CA",
        hide_env_values = true,
        value_name = "FILE"
    )]
    tls_ca: Option<PathBuf>,
}

impl TlsArgs {
    fn connect(&self, uri: &str) -> Outcome<Endpoint> {
        let read = |path: &PathBuf| {
            std::fs::read(path)
                .or_exit(Code::Usage)
                .map_err(|failure| failure.context(format!("--tls-ca {}", path.display())))
        };
        let ca = self.tls_ca.as_ref().map(read).transpose()?;
        Endpoint::with_ca(uri, ca.as_deref()).or_exit(Code::Usage)
    }
}

/// The address of the home's own node.
fn own_uri(global: &GlobalArgs) -> Outcome<String> {
    let loaded = ConfigArgs::default().load(global, &global.home()?)?;
    let scheme = match loaded.config.grpc.tls_cert {
        Some(_) => "https",
        None => "http",
    };
    Ok(format!(
        "{scheme}://{}",
        reachable(loaded.config.grpc.listen)
    ))
}

impl EndpointArgs {
    /// The endpoint. Must be called inside a runtime.
    ///
    /// # Errors
    /// An invalid configuration or address.
    pub(crate) fn connect(&self, global: &GlobalArgs) -> Outcome<Endpoint> {
        let uri = match &self.endpoint {
            Some(uri) => uri.clone(),
            None => own_uri(global)?,
        };
        self.tls.connect(&uri)
    }
}

impl EndpointsArgs {
    /// The endpoints, at least one. Must be called inside a runtime.
    ///
    /// # Errors
    /// An invalid configuration or address.
    pub(crate) fn connect(&self, global: &GlobalArgs) -> Outcome<Vec<Endpoint>> {
        if self.endpoints.is_empty() {
            return Ok(vec![self.tls.connect(&own_uri(global)?)?]);
        }
        let connect = |uri: &String| self.tls.connect(uri);
        self.endpoints.iter().map(connect).collect()
    }
}

/// The address under which a local process reaches a listener.
#[must_use]
pub(crate) fn reachable(listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, listen.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, listen.port()).into(),
        _ => listen,
    }
}

/// Runs a client command on a small runtime.
///
/// # Errors
/// Those of the command.
pub(crate) fn block_on<T>(command: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(command)
}

/// Waits for an answer.
///
/// # Errors
/// Exit codes 11, 12 and 13.
pub(crate) async fn answer<T>(
    endpoint: &Endpoint,
    timeout: Duration,
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Outcome<T> {
    match tokio::time::timeout(timeout, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(refused(endpoint, &status.into())),
        Err(_) => Err(Failure::new(
            Code::TimedOut,
            format!("{} did not answer within {timeout:?}", endpoint.uri()),
        )),
    }
}

/// The failure that a refusal means. Without a reason no server has spoken.
#[must_use]
pub(crate) fn refused(endpoint: &Endpoint, refusal: &Refusal) -> Failure {
    let code = match refusal.code {
        tonic::Code::DeadlineExceeded => Code::TimedOut,
        _ if !refusal.reason.is_empty() => Code::Refused,
        tonic::Code::Unavailable | tonic::Code::Unknown | tonic::Code::Cancelled => {
            Code::Unreachable
        }
        _ => Code::Refused,
    };
    let text = match code {
        Code::Unreachable => format!("{} is not reachable: {}", endpoint.uri(), refusal.message),
        _ => {
            let retry = refusal
                .retry_after
                .map(|delay| format!(" (retry after {delay:?})"))
                .unwrap_or_default();
            format!("{}: {}{retry}", refusal.label(), refusal.message)
        }
    };
    Failure::new(code, text)
}

/// Status of the node, with its network checked against `--network-id`.
///
/// # Errors
/// Those of [`answer`], and exit code 10.
pub(crate) async fn status(
    global: &GlobalArgs,
    endpoint: &Endpoint,
    timeout: Duration,
) -> Outcome<(NetworkId, v1::GetStatusResponse)> {
    let call = async {
        let mut client = endpoint.operators();
        client.get_status(v1::GetStatusRequest {}).await
    };
    let status = answer(endpoint, timeout, call).await?;
    let network = NetworkId::try_from(&status.network_id[..])
        .or_exit(Code::Verification)
        .map_err(|failure| failure.context("network_id of the node"))?;
    global.check_network(&network)?;
    Ok((network, status))
}
