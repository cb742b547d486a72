//! A running world and its hosts.

mod spec;
mod start;

pub(crate) use spec::parse_millis;
pub use spec::{LinkSpec, WorldSpec};

use crate::{
    access_network::AccessNetwork,
    host::Host,
    internet::Internet,
    node_api::NodeApi,
    nodes::Node,
    packet_counters,
    process::Process,
    services,
    vpn::{Tunnel, VpnServer},
    wiring::{self, Hosts},
};
use anyhow::{Context, Result};
use std::{collections::BTreeMap, path::PathBuf};

/// A running world.
///
/// A sandbox can contain one at a time. Dropping it ends everything in it.
#[derive(Debug)]
pub struct World {
    pub(crate) spec: WorldSpec,
    pub(crate) hosts: Hosts,
    pub(crate) internet: Internet,
    pub(crate) vpn: VpnServer,
    pub(crate) other_vpn: VpnServer,
    pub(crate) tunnel: Tunnel,
    pub(crate) nodes: BTreeMap<String, Node>,
    /// The network that the laptop is connected to.
    pub(crate) network: AccessNetwork,
    /// Processes that faults have started and that their reversal stops.
    pub(crate) started: BTreeMap<&'static str, Process>,
    /// The servers, which run until the world is dropped.
    pub(crate) services: Vec<Process>,
}

impl World {
    /// Finds a host by its name, see [`plan`](crate::plan).
    ///
    /// # Errors
    /// Fails if there is no such host.
    pub fn host(&self, name: &str) -> Result<&Host> {
        wiring::find_host(&self.hosts, name)
    }

    /// Returns the laptop.
    pub fn laptop(&self) -> Result<&Host> {
        self.host("laptop")
    }

    /// Returns the names of all hosts.
    pub fn host_names(&self) -> impl Iterator<Item = &str> {
        self.hosts.keys().map(String::as_str)
    }

    /// Returns the Internet between the hosts.
    pub fn internet(&self) -> &Internet {
        &self.internet
    }

    /// Returns the HTTP API of the node on a host.
    pub fn node_api(&self, host: &str) -> Result<NodeApi> {
        Ok(NodeApi::new(self.host(host)?.clone()))
    }

    /// Returns the node that runs on a host.
    ///
    /// # Errors
    /// Fails if no node runs there.
    pub fn node(&mut self, host: &str) -> Result<&mut Node> {
        let hosts = self.nodes.keys().cloned().collect::<Vec<_>>().join(", ");
        self.nodes.get_mut(host).with_context(|| format!("no node runs on {host}; nodes run on {hosts}"))
    }

    /// Returns the number of packets that the laptop has sent to a [counted](WorldSpec::counted)
    /// host, by any route.
    pub async fn packets_to(&self, host: &str) -> Result<u64> {
        packet_counters::read_counter(self.laptop()?, host).await
    }

    /// Returns the certificate authority of all TLS servers, for `SSL_CERT_FILE`.
    pub fn authority(&self) -> Result<PathBuf> {
        services::authority(&self.hosts)
    }

    /// Returns the last lines of every node's log.
    pub fn logs(&self, lines: usize) -> String {
        let logs = self.nodes.iter().map(|(host, node)| format!("--- {host}\n{}\n", node.log_tail(lines)));
        logs.collect::<Vec<_>>().concat()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        wiring::delete_hosts(&self.hosts);
    }
}
