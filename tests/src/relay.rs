//! Connections from the sandbox, or from outside it, to a port on a host's loopback interface.

use crate::host::Host;
use anyhow::{Context, Result};
use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::net::UnixListener,
    path::Path,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, copy_bidirectional},
    net::TcpStream,
    task::AbortHandle,
};

/// Forwards connections to a port of a host until dropped.
#[derive(Debug)]
pub struct Relay {
    task: AbortHandle,
}

impl Relay {
    /// Listens on a free port of this process's own loopback interface.
    pub fn tcp(host: &Host, port: u16) -> Result<(Self, SocketAddr)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen")?;
        let address = listener.local_addr()?;
        Ok((Self::from_listener(host, port, listener)?, address))
    }

    /// Accepts connections from a listener.
    ///
    /// A listener that was opened outside the sandbox makes the host reachable from there.
    pub fn from_listener(host: &Host, port: u16, listener: TcpListener) -> Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self::run(host, move || async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            loop {
                let (stream, _) = listener.accept().await?;
                forward(stream, port);
            }
        }))
    }

    /// Listens on a Unix socket, which is reachable from outside the sandbox too.
    pub fn unix(host: &Host, port: u16, path: &Path) -> Result<Self> {
        let listener =
            UnixListener::bind(path).with_context(|| format!("cannot listen on {}", path.display()))?;
        listener.set_nonblocking(true)?;
        Ok(Self::run(host, move || async move {
            let listener = tokio::net::UnixListener::from_std(listener)?;
            loop {
                let (stream, _) = listener.accept().await?;
                forward(stream, port);
            }
        }))
    }

    fn run<F, W>(host: &Host, work: F) -> Self
    where
        F: FnOnce() -> W + Send + 'static,
        W: Future<Output = Result<()>>,
    {
        let host = host.clone();
        let task = tokio::spawn(async move { host.run(work).await });
        Self { task: task.abort_handle() }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Forwards one connection to a port of the current network namespace.
fn forward(mut stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, port: u16) {
    tokio::spawn(async move {
        // A connection ends when either end closes it.
        if let Ok(mut there) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
            let _ = copy_bidirectional(&mut stream, &mut there).await;
        }
    });
}
