//! What can go wrong, one function each.
//!
//! | `do =` | parameters | what happens | what it looks like to a person |
//! |---|---|---|---|
//! | `tunnel-removed` | | the laptop's `wg0` goes, and its routes with it | the VPN client crashed |
//! | `tunnel-restored` | | `wg0`, its routes and its resolver return | it was started again |
//! | `server-silent` | | every packet to and from the VPN server is swallowed | the server or the way to it died |
//! | `server-back` | | the server can be reached again | |
//! | `resolver-switched` | `to = "isp"`, `"router"`, `"public"`, `"anycast"`, `"vpn"` | the laptop's `resolv.conf` is rewritten in place | DHCP or a captive portal took over DNS |
//! | `exit-switched` | `to = "first"`, `"second"` | new flows leave the VPN by another of its addresses | the provider balances its load |
//! | `provider-switched` | `to = "example"`, `"other"` | the standing tunnel moves to the other provider's server | its user picked another one |
//! | `exit-becomes-home` | | new flows out of the tunnel carry the home line's address; nothing local moves | a VPN on the router died |
//! | `exit-back` | | undoes it | |
//! | `link` | `host`, `direction`, `delay_ms`, `jitter_ms`, `loss` | a link's conditions change; what is not given stays | a path changed, Wi-Fi got bad |
//! | `ipv6-default-route` | `change = "add"`, `"remove"` | the laptop gets an IPv6 address and default route on its LAN | a router advertisement came |
//! | `node-cut-off` | `node` | every packet to and from that node's network is swallowed | its provider has an outage |
//! | `node-back` | `node` | it can be reached again | |
//! | `offline` | | the laptop's `eth0` goes down | the cable was pulled |
//! | `online` | | `eth0` and its routes return | it was plugged in again |
//! | `route-outside` | `prefix`, `change` | a more specific route past the tunnel, by the router | another program or a second VPN took a network for itself |
//! | `dhcp-route` | `prefix`, `change` | a real DHCP server offers this route (option 121), and the laptop's DHCP client installs it | the TunnelVision attack: somebody on the Wi-Fi draws traffic out of the tunnel |
//! | `policy-rule` | `prefix` (all of IPv4), `change` | an `ip rule` sends it to a table with the way past the tunnel; the main table stays. The table comes and goes with it, unless the world has a `second-table`: then nothing but the rule moves | a leftover rule of another VPN client |
//! | `router-advertisement` | `change` | the router advertises IPv6, and the laptop configures itself; taken back, the route goes and the address is deprecated | the provider switched IPv6 on, or somebody on the Wi-Fi did |
//! | `ipv6-dead` | `change` | no IPv6 packet passes the home router or the VPN server | IPv6 is broken, as it often is |
//! | `tunnel-without-ipv6` | `change` | the tunnel's IPv6 address and routes go, IPv4 stays inside | the VPN client forgot IPv6 |
//! | `kill-switch` | `change` | nothing leaves `eth0` but WireGuard to its server, DHCP and neighbour discovery; it knows the server the tunnel has when it is closed | the VPN client's kill switch |
//! | `captive-portal` | `change` | the router answers every name with itself, redirects web pages to its own, and lets nothing pass | a hotel wants to be paid |
//! | `laptop-suspended` | `for_ms` | every process on the laptop is stopped so long; packets to it wait or get lost. Timers then fire late and at once, as after a sleep. Not imitated: the difference between the clocks by which a sleep is told (nothing but a real suspend makes one), so the node must come through without being told | the lid was closed for a moment, or the machine hung |
//! | `clock-jumped` | `by_ms` | the wall clock of the laptop's node jumps, its other clocks do not; needs `fake_clock` under `[world]` | somebody set the time |
//! | `roamed` | `to = "cafe"`, `"home"` | the laptop's link is unplugged and plugged into another router: other addresses, another line; the tunnel's interface stays and follows | another Wi-Fi |
//! | `dns-intercepted` | `by = "isp"`, `"vpn"`; `transport = "udp"`, `"tcp"`, `"both"`; `change = "add"`, `"remove"` | whatever crosses the home line, or leaves the tunnel, for port 53 is answered by that operator's own resolver | a transparent DNS proxy |
//! | `resolver-forwards` | `to = "third-party"`, `"itself"` | the VPN's resolver hands every question to the public resolver | the provider saves itself a resolver |
//! | `answers-falsified` | `at` = a resolver, `"vpn"` unless told; `names = "one"`, `"many"`; `with = "bogon"`, `"other-server"`, `"aaaa-only"`, `"nxdomain"`, `"nxdomain-rewrite"`; `change` | that resolver lies about names of the panel, or gives names that do not exist an address | censorship, or advertising |
//! | `service-down` | `service` = its host: `stun`, `echo-2`, `public-dns` .. | every packet to and from it is swallowed | it has an outage |
//! | `service-slow` | `service`, `ms` | its round trips take so much longer | it is overloaded |
//! | `service-lies` | `service`, `address` | a STUN server or echo service sees everybody at that address | it is broken, or bribed |
//! | `service-refuses` | `service` | an echo service answers 429 | it was asked too often |
//! | `service-babbles` | `service`, `what = "html"`, `"endless"` | an echo service answers with a page, or never ends | it was sold |
//! | `service-back` | `service` | undoes all of these | |
//! | `witness-lies-address` | `node`, `address` | that node's router gives every STUN request this source, so the node honestly reports it | a middlebox |
//! | `witness-lies-dns` | `node` | a resolver that lies about the whole panel is the node's | its line is censored |
//! | `witness-slow` | `node`, `ms` | round trips to its network take so much longer | its line is full |
//! | `witness-back` | `node` | undoes these three | |
//! | `node-asleep` | `node` | the node ends and says goodbye | its machine went to sleep |
//! | `node-awake` | `node` | it is started again | |

mod control;
mod inject;
mod kinds;
mod names;
mod network;
mod services;
mod witnesses;

pub(crate) use control::{Control, of as control};
pub(crate) use inject::inject;
pub use kinds::{Change, Exit, ProviderName, Resolver, Whereabouts};
pub use names::{AnswersOf, Forwarding, Interceptor, Lie, Port53};
pub(crate) use network::{fake_clock, kill_switch, second_table};
pub use services::Babble;

use crate::internet::Direction;
use anyhow::{Context, Result, anyhow};
use sentinel_model::IpNet;
use serde::Deserialize;
use std::{net::Ipv4Addr, str::FromStr};

/// Something that happens to a world. The table above says what each one does.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// The laptop's tunnel interface goes.
    TunnelRemoved {},
    /// It returns.
    TunnelRestored {},
    /// The VPN server answers nothing any more.
    ServerSilent {},
    /// It does again.
    ServerBack {},
    /// The laptop is told to use another resolver.
    ResolverSwitched {
        /// Which.
        to: Resolver,
    },
    /// The provider lets new flows leave by another address.
    ExitSwitched {
        /// Which.
        to: Exit,
    },
    /// The tunnel moves to another provider's server.
    ProviderSwitched {
        /// Whose.
        to: ProviderName,
    },
    /// New flows out of the tunnel carry the home line's address.
    ExitBecomesHome {},
    /// They carry the provider's again.
    ExitBack {},
    /// The conditions of a link change.
    Link {
        /// Whose.
        host: String,
        /// Which way.
        #[serde(default)]
        direction: Direction,
        /// The new delay, one way.
        delay_ms: Option<f64>,
        /// The new jitter.
        jitter_ms: Option<f64>,
        /// The new loss, 0 to 1.
        loss: Option<f64>,
    },
    /// The laptop's IPv6 outside the tunnel comes or goes.
    Ipv6DefaultRoute {
        /// Which.
        change: Change,
    },
    /// A node's network is cut off.
    NodeCutOff {
        /// Whose.
        node: String,
    },
    /// It is back.
    NodeBack {
        /// Whose.
        node: String,
    },
    /// The laptop's link goes down.
    Offline {},
    /// It comes up.
    Online {},
    /// A network is reached past the tunnel.
    RouteOutside {
        /// Which.
        prefix: IpNet,
        /// From now on, or no more.
        change: Change,
    },
    /// DHCP tells the laptop to reach a network past the tunnel.
    DhcpRoute {
        /// Which.
        prefix: IpNet,
        /// From now on, or no more.
        change: Change,
    },
    /// A policy rule sends traffic past the tunnel.
    PolicyRule {
        /// To where; all of IPv4, unless told.
        #[serde(default)]
        prefix: Option<IpNet>,
        /// From now on, or no more.
        change: Change,
    },
    /// The router advertises IPv6.
    RouterAdvertisement {
        /// It does, or takes it back.
        change: Change,
    },
    /// IPv6 ends behind the first hop.
    Ipv6Dead {
        /// From now on, or no more.
        change: Change,
    },
    /// The tunnel carries IPv4 only.
    TunnelWithoutIpv6 {
        /// From now on, or no more.
        change: Change,
    },
    /// The laptop's firewall lets nothing past the tunnel.
    KillSwitch {
        /// From now on, or no more.
        change: Change,
    },
    /// The router keeps everything to itself until somebody pays.
    CaptivePortal {
        /// From now on, or no more.
        change: Change,
    },
    /// Everything on the laptop stands still.
    LaptopSuspended {
        /// For so long.
        for_ms: u64,
    },
    /// The laptop's wall clock jumps.
    ClockJumped {
        /// By so much; backwards if negative.
        by_ms: i64,
    },
    /// The laptop moves to another network.
    Roamed {
        /// Which.
        to: Whereabouts,
    },
    // Services and witnesses
    /// Questions for other resolvers are answered by somebody's own.
    DnsIntercepted {
        /// Whose.
        by: Interceptor,
        /// Which questions.
        transport: Port53,
        /// Whether it begins or ends.
        change: Change,
    },
    /// The VPN's resolver asks another one, or the authoritative servers again.
    ResolverForwards {
        /// Which.
        to: Forwarding,
    },
    /// A resolver lies, or stops lying.
    AnswersFalsified {
        /// Whose.
        #[serde(default = "example_vpn")]
        at: Resolver,
        /// About what.
        names: AnswersOf,
        /// How.
        with: Lie,
        /// Whether it begins or ends.
        change: Change,
    },
    /// A public service answers nothing.
    ServiceDown {
        /// Its host.
        service: String,
    },
    /// A public service answers late.
    ServiceSlow {
        /// Its host.
        service: String,
        /// By how much.
        ms: f64,
    },
    /// A public service sees everybody at one address.
    ServiceLies {
        /// Its host.
        service: String,
        /// Where.
        address: Ipv4Addr,
    },
    /// An echo service answers that it was asked too often.
    ServiceRefuses {
        /// Its host.
        service: String,
    },
    /// An echo service answers something else than an address.
    ServiceBabbles {
        /// Its host.
        service: String,
        /// What.
        what: Babble,
    },
    /// A public service is what it was.
    ServiceBack {
        /// Its host.
        service: String,
    },
    /// A node sees everybody at one address.
    WitnessLiesAddress {
        /// Whose.
        node: String,
        /// Where.
        address: Ipv4Addr,
    },
    /// A node's resolver lies.
    WitnessLiesDns {
        /// Whose.
        node: String,
    },
    /// A node is reached late.
    WitnessSlow {
        /// Whose.
        node: String,
        /// By how much.
        ms: f64,
    },
    /// A node's network is what it was.
    WitnessBack {
        /// Whose.
        node: String,
    },
    /// A node goes to sleep.
    NodeAsleep {
        /// Whose.
        node: String,
    },
    /// It wakes.
    NodeAwake {
        /// Whose.
        node: String,
    },
}

fn example_vpn() -> Resolver {
    Resolver::Vpn
}

impl FromStr for Fault {
    type Err = anyhow::Error;

    /// As typed by a person: `tunnel-removed`, `resolver-switched to=isp`, `link host=vpn delay_ms=1`.
    fn from_str(text: &str) -> Result<Self> {
        let mut words = text.split_whitespace();
        let mut table = toml::Table::new();
        table.insert("do".to_owned(), words.next().context("no fault is named")?.into());
        for word in words {
            let (key, value) =
                word.split_once('=').with_context(|| format!("{word} is not of the form key=value"))?;
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

    /// Serde names every variant when it meets one that it does not know.
    #[test]
    fn the_table_names_every_fault_and_no_other() {
        let complaint = "earthquake".parse::<Fault>().unwrap_err().to_string();
        let known: BTreeSet<_> = complaint.split('`').skip(3).step_by(2).collect();
        let rows = include_str!("faults.rs").lines().filter_map(|line| line.strip_prefix("//! | `"));
        let table: Vec<_> = rows.filter_map(|row| Some(row.split_once('`')?.0)).collect();
        assert_eq!(table.iter().copied().filter(|name| *name != "do =").collect::<BTreeSet<_>>(), known);
        assert_eq!(table.len(), known.len() + 1, "a row stands there twice");
    }

    #[test]
    fn faults_can_be_typed() {
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
