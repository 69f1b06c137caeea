//! Accepting connections up to a limit, and up to another one per address.
//!
//! A connection above a limit is closed at once: its client sees that and tries elsewhere, and those
//! who are connected keep what they have.

use super::places::{Place, Places};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::transport::server::Connected;

/// Pause after the system could not accept, for want of file descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Who calls; in the extensions of each request.
#[derive(Clone, Debug)]
pub(crate) struct ClientInfo {
    /// Address of the client.
    pub(crate) address: IpAddr,
    /// Streams that its connection may still open.
    pub(crate) streams: Arc<Semaphore>,
}

/// A connection that counts against the limit until it is closed.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    client: ClientInfo,
    _permit: OwnedSemaphorePermit,
    _place: Place,
}

/// A listener with limits.
#[derive(Debug)]
pub(crate) struct Connections {
    listener: TcpListener,
    free: Arc<Semaphore>,
    places: Arc<Places>,
    streams_per_connection: usize,
}

impl Connections {
    /// At most `connections_max` at once, each with at most `streams_per_connection` streams, and as many
    /// from one address as it has places.
    pub(crate) fn new(
        listener: TcpListener,
        connections_max: usize,
        places: Arc<Places>,
        streams_per_connection: usize,
    ) -> Self {
        Self {
            listener,
            free: Arc::new(Semaphore::new(connections_max)),
            places,
            streams_per_connection,
        }
    }

    /// The next connection.
    pub(crate) async fn next(&mut self) -> (Connection, SocketAddr) {
        loop {
            let (stream, remote) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::debug!(%error, "could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() else {
                tracing::debug!(%remote, "connection closed: no more are allowed");
                continue;
            };
            let Some(place) = self.places.take(remote.ip()) else {
                tracing::debug!(%remote, "connection closed: no more are allowed from this address");
                continue;
            };
            // Answers are written whole; waiting for more would only delay them.
            if stream.set_nodelay(true).is_err() {
                continue;
            }
            let connection = Connection {
                stream,
                client: ClientInfo {
                    address: remote.ip(),
                    streams: Arc::new(Semaphore::new(self.streams_per_connection)),
                },
                _permit: permit,
                _place: place,
            };
            return (connection, remote);
        }
    }

    /// The connections as tonic takes them.
    pub(crate) fn into_stream(self) -> impl futures::Stream<Item = io::Result<Connection>> {
        futures::stream::unfold(self, |mut connections| async move {
            let (connection, _) = connections.next().await;
            Some((Ok(connection), connections))
        })
    }
}

impl axum::serve::Listener for Connections {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        self.next().await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Address of an HTTP client; in the extensions of each request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller(pub(crate) IpAddr);

impl axum::extract::connect_info::Connected<axum::serve::IncomingStream<'_, Connections>>
    for Caller
{
    fn connect_info(stream: axum::serve::IncomingStream<'_, Connections>) -> Self {
        Self(stream.remote_addr().ip())
    }
}

impl Connected for Connection {
    type ConnectInfo = ClientInfo;

    fn connect_info(&self) -> ClientInfo {
        self.client.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
