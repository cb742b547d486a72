//! The stream multiplexer over TCP and relays: Yamux, with bounds on what a peer can make this node
//! buffer.
//!
//! libp2p's own wrapper of Yamux lets one connection buffer up to 1 GiB and has no setting for it.

use futures::{AsyncRead, AsyncWrite, future, ready};
use libp2p::core::{
    muxing::{StreamMuxer, StreamMuxerEvent},
    upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo},
};
use std::{
    collections::VecDeque,
    io, iter,
    pin::Pin,
    task::{Context, Poll, Waker},
};
use yamux::{Connection, ConnectionError, Mode, Stream};

/// The most streams on one connection.
pub(crate) const MAX_STREAMS: usize = 64;
/// The most bytes that all streams of one connection buffer together.
///
/// Yamux grants each stream 256 KiB at first, so this is the least for 64 streams.
pub(crate) const MAX_BUFFERED_BYTES: usize = 16 << 20;
/// How many new streams wait to be accepted. Further ones are reset.
const MAX_WAITING_STREAMS: usize = 16;

/// The upgrade of a connection to Yamux.
#[derive(Clone, Debug)]
pub(crate) struct BoundedYamux(yamux::Config);

impl BoundedYamux {
    /// Makes the upgrade.
    pub(crate) fn new() -> Self {
        let mut config = yamux::Config::default();
        // In this order: each setter checks that the window suffices for the streams.
        config.set_max_num_streams(MAX_STREAMS);
        config.set_max_connection_receive_window(Some(MAX_BUFFERED_BYTES));
        Self(config)
    }

    fn connect<C>(self, socket: C, mode: Mode) -> Muxer<C>
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        Muxer {
            connection: Connection::new(socket, self.0, mode),
            waiting: VecDeque::new(),
            waiting_waker: None,
        }
    }
}

impl UpgradeInfo for BoundedYamux {
    type Info = &'static str;
    type InfoIter = iter::Once<Self::Info>;

    fn protocol_info(&self) -> Self::InfoIter {
        iter::once("/yamux/1.0.0")
    }
}

impl<C> InboundConnectionUpgrade<C> for BoundedYamux
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = Muxer<C>;
    type Error = io::Error;
    type Future = future::Ready<Result<Self::Output, Self::Error>>;

    fn upgrade_inbound(self, socket: C, _: Self::Info) -> Self::Future {
        future::ready(Ok(self.connect(socket, Mode::Server)))
    }
}

impl<C> OutboundConnectionUpgrade<C> for BoundedYamux
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = Muxer<C>;
    type Error = io::Error;
    type Future = future::Ready<Result<Self::Output, Self::Error>>;

    fn upgrade_outbound(self, socket: C, _: Self::Info) -> Self::Future {
        future::ready(Ok(self.connect(socket, Mode::Client)))
    }
}

/// A multiplexed connection.
#[derive(Debug)]
pub(crate) struct Muxer<C> {
    connection: Connection<C>,
    /// New streams that arrived while only the existing ones were polled.
    ///
    /// Yamux makes progress only while it looks for new streams, so they come at any time.
    waiting: VecDeque<Stream>,
    /// Woken when a stream waits.
    waiting_waker: Option<Waker>,
}

impl<C> Muxer<C>
where
    C: AsyncRead + AsyncWrite + Unpin + 'static,
{
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Stream, ConnectionError>> {
        self.connection.poll_next_inbound(cx).map(|next| next.unwrap_or(Err(ConnectionError::Closed)))
    }
}

impl<C> StreamMuxer for Muxer<C>
where
    C: AsyncRead + AsyncWrite + Unpin + 'static,
{
    type Substream = Stream;
    type Error = ConnectionError;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        if let Some(stream) = self.waiting.pop_front() {
            return Poll::Ready(Ok(stream));
        }
        if let Poll::Ready(next) = self.poll_next(cx) {
            return Poll::Ready(next);
        }
        self.waiting_waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        self.connection.poll_new_outbound(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.connection.poll_close(cx)
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        let stream = ready!(self.poll_next(cx))?;
        if self.waiting.len() < MAX_WAITING_STREAMS {
            self.waiting.push_back(stream);
            if let Some(waker) = self.waiting_waker.take() {
                waker.wake();
            }
        } else {
            tracing::debug!("A stream was reset, since too many wait to be accepted");
        }
        // There may be more; other tasks get their turn first.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{StreamExt, future::join};
    use libp2p::core::{
        Endpoint, Transport,
        transport::{DialOpts, ListenerId, MemoryTransport, PortUse},
    };
    use std::{future::poll_fn, time::Duration};

    #[tokio::test]
    async fn a_connection_with_too_many_streams_is_closed() {
        let mut transport = MemoryTransport::new().boxed();
        transport.listen_on(ListenerId::next(), "/memory/0".parse().unwrap()).unwrap();
        let address = transport.select_next_some().await.into_new_address().unwrap();
        let dialer = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
        let dialing = transport.dial(address, dialer).unwrap();
        let (incoming, dialed) = join(transport.select_next_some(), dialing).await;
        let accepted = incoming.into_incoming().unwrap().0.await.unwrap();

        let mut peer = Connection::new(dialed.unwrap(), yamux::Config::default(), Mode::Client);
        let mut muxer = BoundedYamux::new().connect(accepted, Mode::Server);
        let (mut opened, mut received) = (Vec::new(), Vec::new());
        let closed = poll_fn(|cx| {
            loop {
                let before = (opened.len(), received.len());
                if opened.len() < 3 * MAX_STREAMS
                    && let Poll::Ready(Ok(mut stream)) = peer.poll_new_outbound(cx)
                {
                    assert!(Pin::new(&mut stream).poll_write(cx, b"x").is_ready());
                    opened.push(stream);
                }
                let _ = peer.poll_next_inbound(cx);
                match Pin::new(&mut muxer).poll_inbound(cx) {
                    Poll::Ready(Ok(stream)) => received.push(stream),
                    Poll::Ready(Err(error)) => return Poll::Ready(error),
                    Poll::Pending => {}
                }
                if before == (opened.len(), received.len()) {
                    return Poll::Pending;
                }
            }
        });
        let error = tokio::time::timeout(Duration::from_secs(5), closed).await;
        assert!(error.is_ok(), "{} streams were accepted", received.len());
        assert!(received.len() <= MAX_STREAMS, "{} streams were accepted", received.len());
    }
}
