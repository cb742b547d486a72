//! The Internet between the lab's networks, in user space.
//!
//! Every attached host has a TUN device, `net0`. One thread reads what the hosts send, finds the destination's network
//! in a table of prefixes, and delivers the packet when the two links it crosses (up from the sender, down to the
//! receiver) allow: after their delay and jitter, or never where they lose or swallow it. The kernel's own means for
//! this (netem) are not everywhere available and not needed. All randomness has a seed.

mod forwarder;
mod link;
mod packet;

pub use link::{Conditions, Direction};

use crate::host::Host;
use anyhow::{Context, Result};
use forwarder::Forwarder;
use link::Link;
use sentinel_model::IpNet;
use std::{
    collections::BTreeMap,
    io::{PipeWriter, pipe},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};
use tun_rs::{DeviceBuilder, SyncDevice};

/// The name of the device by which a host is attached.
pub(crate) const DEVICE: &str = "net0";

/// What the forwarder and its owner share.
#[derive(Debug, Default)]
struct Table {
    /// Per attachment.
    links: Vec<Link>,
    /// Longest prefix first.
    routes: Vec<Route>,
}

#[derive(Debug)]
struct Route {
    prefix: IpNet,
    to: usize,
    /// Attachments whose packets this route is not for.
    except_from: Vec<usize>,
}

impl Table {
    fn route(&self, from: usize, destination: IpAddr) -> Option<usize> {
        let applies =
            |route: &&Route| route.prefix.contains(&destination) && !route.except_from.contains(&from);
        self.routes.iter().find(applies).map(|route| route.to)
    }

    fn add_route(&mut self, route: Route) {
        let at = self.routes.partition_point(|other| other.prefix.prefix_len() > route.prefix.prefix_len());
        self.routes.insert(at, route);
    }
}

/// Hosts to be attached.
pub(crate) struct Builder {
    seed: u64,
    names: BTreeMap<String, usize>,
    devices: Vec<SyncDevice>,
    table: Table,
}

impl Builder {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, names: BTreeMap::new(), devices: Vec::new(), table: Table::default() }
    }

    /// Gives a host its device and its share of the address space.
    pub(crate) fn attach(&mut self, host: &Host, prefixes: &[IpNet], conditions: Conditions) -> Result<()> {
        let device = host.inside(open_device)?.with_context(|| {
            format!(
                "cannot make {DEVICE} on {}: /dev/net/tun must exist and be writable (`modprobe tun`, `chmod 666 /dev/net/tun`)",
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

    /// Starts forwarding.
    pub(crate) fn start(self) -> Result<Internet> {
        let table = Arc::new(Mutex::new(self.table));
        let (stopped, stop) = pipe().context("cannot make a pipe")?;
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
    names: BTreeMap<String, usize>,
    table: Arc<Mutex<Table>>,
    running: Option<(PipeWriter, JoinHandle<std::io::Result<()>>)>,
}

impl Internet {
    /// Changes the conditions of a host's link, from the next packet on.
    ///
    /// # Errors
    /// No host of that name is attached.
    pub fn set(&self, host: &str, direction: Direction, change: impl Fn(&mut Conditions)) -> Result<()> {
        let index = self.index(host)?;
        self.table().links[index].change(direction, change);
        Ok(())
    }

    /// The present conditions of a host's link towards the Internet.
    pub fn conditions(&self, host: &str) -> Result<Conditions> {
        Ok(self.table().links[self.index(host)?].up())
    }

    /// Sends a network somewhere else, except for packets from some hosts, until [`Self::unroute`].
    pub fn reroute(&self, prefix: IpNet, to: &str, except_from: &[&str]) -> Result<()> {
        let to = self.index(to)?;
        let except_from = except_from.iter().map(|host| self.index(host)).collect::<Result<_>>()?;
        let mut table = self.table();
        // In front of its equals.
        let at = table.routes.partition_point(|other| other.prefix.prefix_len() > prefix.prefix_len());
        table.routes.insert(at, Route { prefix, to, except_from });
        Ok(())
    }

    /// Takes back what [`Self::reroute`] did.
    pub fn unroute(&self, prefix: IpNet, to: &str) -> Result<()> {
        let to = self.index(to)?;
        self.table().routes.retain(|route| route.prefix != prefix || route.to != to);
        Ok(())
    }

    fn index(&self, host: &str) -> Result<usize> {
        let known = || self.names.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        self.names
            .get(host)
            .copied()
            .with_context(|| format!("{host} is not attached to the Internet; these are: {}", known()))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.table)
    }
}

impl Drop for Internet {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            drop(stop);
            // A panic over there has been printed already.
            let _ = thread.join();
        }
    }
}

/// The table is consistent at any time, so a panic elsewhere does not spoil it.
fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::default();
        for (prefix, to) in [("192.0.2.0/24", 1), ("192.0.2.7/32", 2), ("2001:db8:a::/48", 3)] {
            table.add_route(Route { prefix: prefix.parse().unwrap(), to, except_from: Vec::new() });
        }
        table
    }

    #[test]
    fn the_most_specific_prefix_wins_and_nothing_matches_everything() {
        let table = table();
        let to = |text: &str| table.route(0, text.parse().unwrap());
        assert_eq!(to("192.0.2.7"), Some(2));
        assert_eq!(to("192.0.2.8"), Some(1));
        assert_eq!(to("2001:db8:a::10"), Some(3));
        assert_eq!(to("10.0.0.1"), None);
    }

    #[test]
    fn a_route_can_leave_out_some_senders() {
        let mut table = table();
        table
            .routes
            .insert(0, Route { prefix: "192.0.2.7/32".parse().unwrap(), to: 9, except_from: vec![5] });
        assert_eq!(table.route(0, "192.0.2.7".parse().unwrap()), Some(9));
        assert_eq!(table.route(5, "192.0.2.7".parse().unwrap()), Some(2));
    }
}
