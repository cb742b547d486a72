//! All faults and their parameters.
//!
//! `docs/lab.md` has a table with the effect and a real-world cause of each one. A test keeps it
//! complete.

use super::parameters::{
    Change, DnsTransport, Falsification, FalsifiedNames, ForwardTarget, Interceptor, MalformedBody,
    NetworkName, ProgramTransport, ProviderName, Resolver, VpnExit,
};
use crate::internet::Direction;
use anyhow::{Context, Result, anyhow};
use sentinel_model::IpNet;
use serde::Deserialize;
use std::{net::Ipv4Addr, str::FromStr};

/// A change to a world.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// Deletes the laptop's tunnel interface.
    TunnelRemoved {},
    /// Brings the tunnel up again.
    TunnelRestored {},
    /// Drops every packet to and from the VPN server.
    ServerSilent {},
    /// Ends `ServerSilent`.
    ServerBack {},
    /// Changes the laptop's resolver.
    ResolverSwitched {
        /// The new resolver.
        to: Resolver,
    },
    /// Changes the exit address of new flows to another one of the provider.
    ExitSwitched {
        /// The new exit.
        to: VpnExit,
    },
    /// Moves the tunnel to another provider's server.
    ProviderSwitched {
        /// The new provider.
        to: ProviderName,
    },
    /// Changes the exit address of new flows to the home line's.
    ExitBecomesHome {},
    /// Ends `ExitBecomesHome`.
    ExitBack {},
    /// Changes the conditions of a link; those not given stay.
    Link {
        /// The host whose link changes.
        host: String,
        /// The direction that changes.
        #[serde(default)]
        direction: Direction,
        /// The new delay in each direction, in milliseconds.
        delay_ms: Option<f64>,
        /// The new jitter, in milliseconds.
        jitter_ms: Option<f64>,
        /// The new loss, 0 to 1.
        loss: Option<f64>,
    },
    /// Adds or removes the laptop's IPv6 address and default route outside the tunnel.
    Ipv6DefaultRoute {
        /// Whether the fault begins or ends.
        change: Change,
    },
    /// Cuts off a node's network.
    NodeCutOff {
        /// The node's host.
        node: String,
    },
    /// Ends `NodeCutOff`.
    NodeBack {
        /// The node's host.
        node: String,
    },
    /// Takes the laptop's link down.
    Offline {},
    /// Brings the laptop's link up.
    Online {},
    /// Routes a prefix outside the tunnel.
    RouteOutside {
        /// The prefix.
        prefix: IpNet,
        /// Whether the fault begins or ends.
        change: Change,
    },
    /// Routes an IPv4 prefix outside the tunnel through DHCP option 121.
    DhcpRoute {
        /// The prefix.
        prefix: IpNet,
        /// Whether the fault begins or ends.
        change: Change,
    },
    /// Routes traffic outside the tunnel through a policy rule.
    PolicyRule {
        /// The destinations; all of IPv4 by default.
        #[serde(default)]
        prefix: Option<IpNet>,
        /// Whether the fault begins or ends.
        change: Change,
    },
    /// Starts a program that binds its connection to the laptop's physical interface, or stops it.
    ProgramOutside {
        /// The transport of the connection; TCP by default.
        #[serde(default)]
        transport: ProgramTransport,
        /// Whether the fault begins or ends.
        change: Change,
    },
    /// Makes the router advertise IPv6.
    RouterAdvertisement {
        /// Whether the fault begins or ends.
        change: Change,
    },
    /// Stops the forwarding of IPv6.
    Ipv6Dead {
        /// Whether the fault begins or ends.
        change: Change,
    },
    /// Removes IPv6 from the tunnel.
    TunnelWithoutIpv6 {
        /// Whether the fault begins or ends.
        change: Change,
    },
    /// Closes the laptop's kill switch, which blocks traffic outside the tunnel.
    KillSwitch {
        /// Whether it closes or opens.
        change: Change,
    },
    /// Makes the router a captive portal.
    CaptivePortal {
        /// Whether the fault begins or ends.
        change: Change,
    },
    /// Stops every process on the laptop for a while.
    LaptopSuspended {
        /// Duration in milliseconds.
        for_ms: u64,
    },
    /// Changes the wall clock of the laptop's node.
    ClockJumped {
        /// Difference in milliseconds, negative for a jump backwards.
        by_ms: i64,
    },
    /// Connects the laptop to another network.
    Roamed {
        /// The new network.
        to: NetworkName,
    },
    // Services and witnesses
    /// Makes an operator's resolver answer queries that are addressed to other resolvers.
    DnsIntercepted {
        /// The operator.
        by: Interceptor,
        /// The transports it intercepts.
        transport: DnsTransport,
        /// Whether the fault begins or ends.
        change: Change,
    },
    /// Changes the upstream of the VPN's resolver.
    ResolverForwards {
        /// The new upstream.
        to: ForwardTarget,
    },
    /// Makes a resolver falsify answers.
    AnswersFalsified {
        /// The resolver.
        #[serde(default = "default_resolver")]
        at: Resolver,
        /// The names it falsifies.
        names: FalsifiedNames,
        /// The answers it gives instead.
        with: Falsification,
        /// Whether the fault begins or ends.
        change: Change,
    },
    /// Drops every packet to and from a public service.
    ServiceDown {
        /// The service's host.
        service: String,
    },
    /// Delays the answers of a public service.
    ServiceSlow {
        /// The service's host.
        service: String,
        /// Additional round-trip time in milliseconds.
        ms: f64,
    },
    /// Makes a public service report one address to every caller.
    ServiceLies {
        /// The service's host.
        service: String,
        /// The reported address.
        address: Ipv4Addr,
    },
    /// Makes an echo service answer with status 429.
    ServiceRefuses {
        /// The service's host.
        service: String,
    },
    /// Makes an echo service answer with something other than an address.
    ServiceMalformed {
        /// The service's host.
        service: String,
        /// The body it returns.
        body: MalformedBody,
    },
    /// Ends all faults of a public service.
    ServiceBack {
        /// The service's host.
        service: String,
    },
    /// Makes a node see every caller at one address.
    WitnessLiesAddress {
        /// The node's host.
        node: String,
        /// The address it sees.
        address: Ipv4Addr,
    },
    /// Gives a node a resolver that falsifies answers.
    WitnessLiesDns {
        /// The node's host.
        node: String,
    },
    /// Delays the packets of a node's network.
    WitnessSlow {
        /// The node's host.
        node: String,
        /// Additional round-trip time in milliseconds.
        ms: f64,
    },
    /// Ends the three witness faults of a node.
    WitnessBack {
        /// The node's host.
        node: String,
    },
    /// Stops a node as if its machine went to sleep.
    NodeAsleep {
        /// The node's host.
        node: String,
    },
    /// Starts the node again.
    NodeAwake {
        /// The node's host.
        node: String,
    },
}

/// Returns the default of `AnswersFalsified::at`.
fn default_resolver() -> Resolver {
    Resolver::Vpn
}

impl FromStr for Fault {
    type Err = anyhow::Error;

    /// Parses a fault as typed by a person: `tunnel-removed`, `resolver-switched to=isp`, `link
    /// host=vpn delay_ms=1`.
    fn from_str(text: &str) -> Result<Self> {
        let mut words = text.split_whitespace();
        let mut table = toml::Table::new();
        table.insert("do".to_owned(), words.next().context("no fault is given")?.into());
        for word in words {
            let (key, value) =
                word.split_once('=').with_context(|| format!("{word} does not have the form key=value"))?;
            let number = value.parse().map(toml::Value::Integer);
            let number = number.or_else(|_| value.parse().map(toml::Value::Float));
            table.insert(key.to_owned(), number.unwrap_or_else(|_| value.into()));
        }
        table.try_into().map_err(|error: toml::de::Error| anyhow!("{}", error.message()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The error of serde for an unknown variant lists all variants.
    #[test]
    fn the_table_in_the_documentation_lists_every_fault_once() {
        let message = "earthquake".parse::<Fault>().unwrap_err().to_string();
        let faults: BTreeSet<_> = message.split('`').skip(3).step_by(2).collect();
        let page = include_str!("../../../docs/lab.md");
        let section = page.split("\n## Faults\n").nth(1).unwrap().split("\n## ").next().unwrap();
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
        let table: Vec<_> = rows.filter_map(|row| Some(row.split_once('`')?.0)).collect();
        assert_eq!(table.iter().copied().filter(|name| *name != "do =").collect::<BTreeSet<_>>(), faults);
        assert_eq!(table.len(), faults.len() + 1, "a row appears twice");
    }

    #[test]
    fn a_fault_is_parsed_from_words() {
        assert_eq!("tunnel-removed".parse::<Fault>().unwrap(), Fault::TunnelRemoved {});
        let switched = "resolver-switched to=isp".parse::<Fault>().unwrap();
        assert_eq!(switched, Fault::ResolverSwitched { to: Resolver::Isp });
        let Fault::Link { host, delay_ms, .. } = "link host=vpn delay_ms=1".parse().unwrap() else {
            panic!()
        };
        assert_eq!((host.as_str(), delay_ms), ("vpn", Some(1.0)));
        assert_eq!("clock-jumped by_ms=-5".parse::<Fault>().unwrap(), Fault::ClockJumped { by_ms: -5 });
        let rule = "policy-rule change=add".parse::<Fault>().unwrap();
        assert_eq!(rule, Fault::PolicyRule { prefix: None, change: Change::Add });
        let outside = "route-outside prefix=2001:db8:c3::/48 change=remove".parse::<Fault>().unwrap();
        let prefix = "2001:db8:c3::/48".parse().unwrap();
        assert_eq!(outside, Fault::RouteOutside { prefix, change: Change::Remove });
        for wrong in [
            "",
            "earthquake",
            "resolver-switched",
            "resolver-switched to=moon",
            "offline now",
            "link delay_ms=1",
            "route-outside prefix=here change=add",
            "roamed to=moon",
        ] {
            assert!(wrong.parse::<Fault>().is_err(), "{wrong}");
        }
    }
}
