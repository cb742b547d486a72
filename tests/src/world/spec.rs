//! The specification of a world: its differences from the standard one.

use crate::{access_network::Ipv6, internet::Conditions, plan::Extras};
use anyhow::{Context, Result, ensure};
use sentinel_model::IpNet;
use serde::Deserialize;
use std::{collections::BTreeMap, time::Duration};

/// The differences of a world from the standard one.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorldSpec {
    /// Seed of everything random about the links.
    pub seed: u64,
    /// Conditions of links that differ from the plan, by host.
    pub links: BTreeMap<String, LinkSpec>,
    /// Whether the laptop is in its initial state: the VPN is off, and home is not configured.
    pub fresh: bool,
    /// Extent of the laptop's IPv6.
    pub ipv6: Ipv6,
    /// Whether faults can change the wall clock of the laptop's node, through libfaketime.
    pub fake_clock: bool,
    /// Additional hosts and services.
    pub with: Extras,
    /// Whether the laptop's kill switch is closed from the beginning.
    pub kill_switch: bool,
    /// Prefixes that the laptop reaches outside the tunnel from the beginning.
    pub bypass: Vec<IpNet>,
    /// The hosts that run a node: `laptop`, `vps`, `home-server`.
    ///
    /// `vps` owns the swarm, and the others join it.
    #[serde(skip)]
    pub nodes: Vec<String>,
    /// Configuration merged into that of the laptop's node.
    #[serde(skip)]
    pub config: toml::Table,
    /// Hosts to which the laptop's packets are counted, see
    /// [`World::packets_to`](crate::World::packets_to).
    #[serde(skip)]
    pub counted: Vec<String>,
}

/// The conditions of a link, equal in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinkSpec {
    /// Delay in each direction, in milliseconds.
    pub delay_ms: f64,
    /// Largest additional delay, in milliseconds.
    pub jitter_ms: f64,
    /// Share of packets lost, 0 to 1.
    pub loss: f64,
}

impl LinkSpec {
    /// Converts the specification to conditions.
    ///
    /// # Errors
    /// Fails if a value is out of range.
    pub(crate) fn conditions(self) -> Result<Conditions> {
        ensure!((0.0..=1.0).contains(&self.loss), "loss {} is outside 0 to 1", self.loss);
        let delay = parse_millis(self.delay_ms)?;
        Ok(Conditions { delay, jitter: parse_millis(self.jitter_ms)?, loss: self.loss, silent: false })
    }
}

/// Converts milliseconds with a fraction to a duration.
///
/// # Errors
/// Fails if the value is negative or too large.
pub(crate) fn parse_millis(value: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(value / 1000.0).with_context(|| format!("{value} ms is not a duration"))
}
