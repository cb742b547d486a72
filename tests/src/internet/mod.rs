//! The Internet between the lab's networks, forwarded in user space.
//!
//! Every attached host has a TUN device, `net0`. One thread reads the packets that the hosts send,
//! finds the destination in a table of prefixes, and delivers each packet after it has crossed two
//! links: up from the sender and down to the receiver. A link delays packets, with jitter if set,
//! and may lose them. The kernel's netem is not used, because many kernels lack it. All randomness
//! is seeded.

mod conditions;
mod forwarder;
mod link;
mod packet;
mod table;

pub use conditions::{Conditions, Direction};

use crate::host::Host;
use anyhow::{Context, Result};
use forwarder::Forwarder;
use link::Link;
use sentinel_model::IpNet;
use std::{
    collections::BTreeMap,
    io::{PipeWriter, pipe},
    sync::{Arc, Mutex, MutexGuard},
    thread::{self, JoinHandle},
};
use table::{Route, RoutingTable, lock};
use tun_rs::{DeviceBuilder, SyncDevice};

/// The name of the device through which a host is attached.
pub(crate) const DEVICE: &str = "net0";

/// An Internet to which hosts are still being attached.
pub(crate) struct InternetBuilder {
    seed: u64,
    names: BTreeMap<String, usize>,
    devices: Vec<SyncDevice>,
    table: RoutingTable,
}

impl InternetBuilder {
    /// Creates an Internet without hosts. The seed determines everything random about its links.
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, names: BTreeMap::new(), devices: Vec::new(), table: RoutingTable::default() }
    }

    /// Creates a host's device and routes its prefixes to it.
    pub(crate) fn attach(&mut self, host: &Host, prefixes: &[IpNet], conditions: Conditions) -> Result<()> {
        let device = host.run_blocking(open_device)?.with_context(|| {
            format!(
                "cannot create {DEVICE} on {}: /dev/net/tun must exist and be writable (`modprobe tun`, `chmod 666 /dev/net/tun`)",
                host.name()
            )
        })?;
        let index = self.devices.len();
        self.devices.push(device);
        self.names.insert(host.name().to_owned(), index);
        self.table.links.push(Link::new(conditions, self.seed, index));
        for prefix in prefixes {
            self.table.add_route(Route { prefix: *prefix, to: index, except_from: Vec::new() });
        }
        Ok(())
    }

    /// Starts the forwarding thread.
    pub(crate) fn start(self) -> Result<Internet> {
        let table = Arc::new(Mutex::new(self.table));
        let (stopped, stop) = pipe().context("cannot create a pipe")?;
        let mut forwarder = Forwarder::new(self.devices, Arc::clone(&table), stopped.into());
        let thread = thread::Builder::new().name("internet".into()).spawn(move || forwarder.run())?;
        Ok(Internet { names: self.names, table, running: Some((stop, thread)) })
    }
}

fn open_device() -> std::io::Result<SyncDevice> {
    let device = DeviceBuilder::new().name(DEVICE).mtu(1500).enable(false).build_sync()?;
    device.set_nonblocking(true)?;
    Ok(device)
}

/// The running Internet. It stops when dropped.
#[derive(Debug)]
pub struct Internet {
    /// The index of each attached host.
    names: BTreeMap<String, usize>,
    table: Arc<Mutex<RoutingTable>>,
    running: Option<(PipeWriter, JoinHandle<std::io::Result<()>>)>,
}

impl Internet {
    /// Changes the conditions of a host's link, from the next packet on.
    ///
    /// # Errors
    /// Fails if no host of that name is attached.
    pub fn change_link(
        &self,
        host: &str,
        direction: Direction,
        change: impl Fn(&mut Conditions),
    ) -> Result<()> {
        let index = self.index(host)?;
        self.table().links[index].change(direction, change);
        Ok(())
    }

    /// Returns the current conditions of a host's link towards the Internet.
    pub fn link_conditions(&self, host: &str) -> Result<Conditions> {
        Ok(self.table().links[self.index(host)?].up())
    }

    /// Routes a prefix to another host, until [`Self::unroute`].
    ///
    /// Packets from the hosts in `except_from` keep their route.
    pub fn reroute(&self, prefix: IpNet, to: &str, except_from: &[&str]) -> Result<()> {
        let to = self.index(to)?;
        let except_from = except_from.iter().map(|host| self.index(host)).collect::<Result<_>>()?;
        self.table().add_route(Route { prefix, to, except_from });
        Ok(())
    }

    /// Removes the route that [`Self::reroute`] added.
    pub fn unroute(&self, prefix: IpNet, to: &str) -> Result<()> {
        let to = self.index(to)?;
        self.table().routes.retain(|route| route.prefix != prefix || route.to != to);
        Ok(())
    }

    fn index(&self, host: &str) -> Result<usize> {
        let attached = || self.names.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        self.names
            .get(host)
            .copied()
            .with_context(|| format!("{host} is not attached to the Internet; attached are {}", attached()))
    }

    fn table(&self) -> MutexGuard<'_, RoutingTable> {
        lock(&self.table)
    }
}

impl Drop for Internet {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            drop(stop);
            // The thread has already printed its own panic.
            let _ = thread.join();
        }
    }
}
