//! A program that is bound to the line's device, past a healthy tunnel.

use super::uplink::Uplink;
use crate::host::{Host, Transport};
use anyhow::{Context, Result};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket},
    task::JoinHandle,
    time::sleep,
};

/// The port of the server it talks to.
const PORT: u16 = 7007;

/// A program that exchanges a few bytes a second with a server. It ends when dropped.
pub(super) struct OutsideProgram {
    tasks: [JoinHandle<Result<()>>; 2],
    /// The address at which the server sees it.
    seen: Arc<Mutex<Option<IpAddr>>>,
}

impl OutsideProgram {
    /// Starts the server, and the program that connects to it by a device.
    pub(super) async fn start(machine: &Host, uplink: &Uplink, server: &Host) -> Result<Self> {
        let seen = Arc::new(Mutex::new(None));
        let (noted, at_server) = (Arc::clone(&seen), server.clone());
        let serving = tokio::spawn(async move { at_server.run(move || serve(noted)).await });
        server.wait_for_port(Transport::Tcp, PORT, Duration::from_secs(5)).await?;
        let address = crate::plan::THIRD_STUN.into();
        let (machine, device, own) = (machine.clone(), uplink.device.clone(), uplink.address);
        let talking = tokio::spawn(async move { machine.run(move || talk(address, device, own)).await });
        Ok(Self { tasks: [serving, talking], seen })
    }

    /// Returns the address at which the server sees the program.
    ///
    /// # Errors
    /// Fails while it does not.
    pub(super) fn seen_at(&self) -> Result<IpAddr> {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.context("the server has seen nobody")
    }
}

impl Drop for OutsideProgram {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Answers each byte with a byte, and notes who sent it.
async fn serve(noted: Arc<Mutex<Option<IpAddr>>>) -> Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    let (mut stream, peer) = listener.accept().await?;
    let mut byte = [0];
    while stream.read_exact(&mut byte).await.is_ok() {
        *noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(peer.ip());
        stream.write_all(&byte).await?;
    }
    Ok(())
}

/// Sends a byte five times a second by a device, and waits for each answer.
async fn talk(server: IpAddr, device: String, own: Ipv4Addr) -> Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((own, 0).into())?;
    socket.bind_device(Some(device.as_bytes()))?;
    let mut stream = socket.connect(SocketAddr::new(server, PORT)).await?;
    let mut byte = [7];
    loop {
        stream.write_all(&byte).await?;
        stream.read_exact(&mut byte).await?;
        sleep(Duration::from_millis(200)).await;
    }
}
