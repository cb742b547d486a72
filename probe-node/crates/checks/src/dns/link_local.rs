//! Sockets for link-local servers.
//!
//! `fe80::1` is a different machine on every link, so a socket needs the index of the link. The
//! resolver library handles addresses without an index; this module adds it to the sockets it
//! opens.

use async_trait::async_trait;
use hickory_resolver::net::runtime::{
    DnsUdpSocket, RuntimeProvider, TokioHandle, TokioRuntimeProvider, TokioTime,
};
use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{io::ReadBuf, net::UdpSocket};

/// Returns the index of an interface.
#[cfg(any(target_os = "linux", target_os = "macos"))]
pub(crate) fn interface_index(interface: &str) -> Option<u32> {
    nix::net::if_::if_nametoindex(interface).ok()
}

/// Returns `None`: this system offers no lookup of the index.
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub(crate) fn interface_index(_interface: &str) -> Option<u32> {
    None
}

/// Opens sockets whose peers, where they are link-local, are on one link.
#[derive(Clone, Default)]
pub(crate) struct OnLink {
    /// The index of the link, or 0 for none.
    scope: u32,
    runtime: TokioRuntimeProvider,
}

impl OnLink {
    /// Creates a provider for the link with this index.
    pub(crate) fn new(scope: u32) -> Self {
        Self { scope, runtime: TokioRuntimeProvider::default() }
    }
}

impl RuntimeProvider for OnLink {
    type Handle = TokioHandle;
    type Timer = TokioTime;
    type Udp = OnLinkUdp;
    type Tcp = <TokioRuntimeProvider as RuntimeProvider>::Tcp;

    fn create_handle(&self) -> Self::Handle {
        self.runtime.create_handle()
    }

    fn connect_tcp(
        &self,
        server: SocketAddr,
        bind: Option<SocketAddr>,
        timeout: Option<Duration>,
    ) -> Pin<Box<dyn Send + Future<Output = Result<Self::Tcp, io::Error>>>> {
        self.runtime.connect_tcp(scoped(server, self.scope), bind, timeout)
    }

    fn bind_udp(
        &self,
        local: SocketAddr,
        _server: SocketAddr,
    ) -> Pin<Box<dyn Send + Future<Output = Result<Self::Udp, io::Error>>>> {
        let scope = self.scope;
        Box::pin(async move { Ok(OnLinkUdp { socket: UdpSocket::bind(local).await?, scope }) })
    }
}

/// A socket that adds the link to destinations and removes it from the addresses of senders.
///
/// The resolver library compares the sender of an answer with the address it asked.
pub(crate) struct OnLinkUdp {
    socket: UdpSocket,
    scope: u32,
}

#[async_trait]
impl DnsUdpSocket for OnLinkUdp {
    type Time = TokioTime;

    fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut buffer = ReadBuf::new(buffer);
        let from = ready!(self.socket.poll_recv_from(cx, &mut buffer))?;
        Poll::Ready(Ok((buffer.filled().len(), scoped(from, 0))))
    }

    fn poll_send_to(&self, cx: &mut Context<'_>, buffer: &[u8], to: SocketAddr) -> Poll<io::Result<usize>> {
        self.socket.poll_send_to(cx, buffer, scoped(to, self.scope))
    }
}

fn scoped(mut address: SocketAddr, scope: u32) -> SocketAddr {
    if let SocketAddr::V6(v6) = &mut address
        && v6.ip().is_unicast_link_local()
    {
        v6.set_scope_id(scope);
    }
    address
}
