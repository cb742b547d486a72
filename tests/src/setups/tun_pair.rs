//! A point-to-point link of two TUN devices, with this process between them.
//!
//! It stands in for the devices that this kernel lacks: ppp, raw-IP modems, IPv4 over IPv6.

use crate::host::Host;
use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::{
    io::{self, PipeReader, PipeWriter, pipe},
    os::fd::AsFd,
    thread::{self, JoinHandle},
};
use tun_rs::{DeviceBuilder, SyncDevice};

/// A running link. Both devices go when it is dropped.
pub(crate) struct TunPair {
    running: Option<(PipeWriter, JoinHandle<io::Result<()>>)>,
}

impl TunPair {
    /// Creates a device on each of two hosts, without addresses.
    pub(crate) async fn connect(ends: [(&Host, &'static str); 2]) -> Result<Self> {
        let open = |(host, name): (&Host, &'static str)| {
            let device = host.run_blocking(move || open_device(name))?;
            device.with_context(|| format!("cannot create {name} on {}", host.name()))
        };
        let devices = [open(ends[0])?, open(ends[1])?];
        for (host, name) in ends {
            host.run_ip(&format!("link set {name} up\n")).await?;
        }
        let (stop, stopped) = {
            let (reader, writer) = pipe().context("cannot create a pipe")?;
            (writer, reader)
        };
        let thread = thread::Builder::new().name("line".into()).spawn(move || forward(&devices, &stopped))?;
        Ok(Self { running: Some((stop, thread)) })
    }
}

impl Drop for TunPair {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            drop(stop);
            // The thread has already printed its own panic.
            let _ = thread.join();
        }
    }
}

fn open_device(name: &str) -> io::Result<SyncDevice> {
    let device = DeviceBuilder::new().name(name).mtu(1500).enable(false).build_sync()?;
    device.set_nonblocking(true)?;
    Ok(device)
}

/// Passes packets between the devices until the other end of the pipe is closed.
fn forward(devices: &[SyncDevice; 2], stopped: &PipeReader) -> io::Result<()> {
    let mut buffer = vec![0; 65_536];
    loop {
        let mut ready = [
            PollFd::new(devices[0].as_fd(), PollFlags::POLLIN),
            PollFd::new(devices[1].as_fd(), PollFlags::POLLIN),
            PollFd::new(stopped.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut ready, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        if ready[2].any().unwrap_or(false) {
            return Ok(());
        }
        for (from, to) in [(0, 1), (1, 0)] {
            while let Ok(length) = devices[from].recv(&mut buffer) {
                // A device that is down loses the packet.
                let _ = devices[to].send(&buffer[..length]);
            }
        }
    }
}
