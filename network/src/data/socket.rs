//! quinn's socket with one correction: how many datagrams may go into one system call.
//!
//! quinn hands up to ten datagrams at once to the kernel's segmentation offload, whatever their size.
//! The kernel takes 64 KiB at most and refuses more with `EMSGSIZE`, which quinn takes for a failed MTU
//! probe and ignores: with datagrams above 6.5 KiB every full burst would vanish.

use quinn::{
    AsyncUdpSocket, UdpPoller,
    udp::{RecvMeta, Transmit},
};
use std::{
    fmt,
    io::{self, IoSliceMut},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// Largest payload of one system call: an IPv4 packet without its headers.
const SEND_BYTES_MAX: usize = 65_507;

/// Limits bursts to what the kernel takes.
pub(crate) struct BurstLimit {
    socket: Arc<dyn AsyncUdpSocket>,
    segments: usize,
}

impl BurstLimit {
    pub(crate) fn new(socket: Arc<dyn AsyncUdpSocket>, mtu_max: u16) -> Self {
        Self {
            segments: (SEND_BYTES_MAX / usize::from(mtu_max)).max(1),
            socket,
        }
    }
}

impl fmt::Debug for BurstLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BurstLimit")
            .field("segments", &self.segments)
            .finish_non_exhaustive()
    }
}

impl AsyncUdpSocket for BurstLimit {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.socket.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_recv(cx, bufs, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments().min(self.segments)
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}
