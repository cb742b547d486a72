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
//! | `policy-rule` | `prefix` (all of IPv4), `change` | an `ip rule` sends it to a table with the way past the tunnel; the main table stays | a leftover rule of another VPN client |
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

mod names;
mod network;
mod services;
mod witnesses;

pub use names::{AnswersOf, Forwarding, Interceptor, Lie, Port53};
pub(crate) use network::fake_clock;
pub use services::Babble;

use crate::{internet::Direction, plan, world::World, world::millis};
use anyhow::{Context, Result, anyhow, bail, ensure};
use sentinel_model::IpNet;
use serde::Deserialize;
use std::{
    net::{IpAddr, Ipv4Addr},
    str::FromStr,
};

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

/// A resolver the laptop can be told to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resolver {
    /// Example ISP's.
    Isp,
    /// The home router, which forwards to Example ISP's.
    Router,
    /// The public one.
    Public,
    /// Example VPN's, inside the tunnel.
    Vpn,
    /// The one that asks from elsewhere, in worlds that have it.
    Anycast,
}

impl Resolver {
    /// Where it is.
    pub fn address(self) -> IpAddr {
        let address = match self {
            Self::Isp => plan::ISP_RESOLVER,
            Self::Router => plan::ROUTER,
            Self::Public => plan::PUBLIC_RESOLVER,
            Self::Vpn => plan::VPN_RESOLVER,
            Self::Anycast => plan::ANYCAST_RESOLVER,
        };
        address.into()
    }

    fn host(self) -> &'static str {
        match self {
            Self::Isp => "isp",
            Self::Router => "home-router",
            Self::Public => "public-dns",
            Self::Vpn => "vpn",
            Self::Anycast => "anycast-dns",
        }
    }
}

/// One of Example VPN's exits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// The usual one.
    First,
    /// The other one.
    Second,
}

/// A VPN provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProviderName {
    /// Example VPN.
    Example,
    /// Other VPN.
    Other,
}

/// A network the laptop can move to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Whereabouts {
    /// At home.
    Home,
    /// In a café.
    Cafe,
}

/// Whether something comes or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It comes.
    Add,
    /// It goes.
    Remove,
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

/// Makes it happen.
pub(crate) async fn inject(world: &mut World, fault: &Fault) -> Result<()> {
    match fault {
        Fault::TunnelRemoved {} => world.tunnel.remove().await,
        Fault::TunnelRestored {} => world.tunnel.establish(&world.vpn).await,
        Fault::ServerSilent {} => silence(world, "vpn", true),
        Fault::ServerBack {} => silence(world, "vpn", false),
        Fault::ResolverSwitched { to } => world.laptop()?.set_resolvers(&[to.address()]),
        Fault::ExitSwitched { to } => exit_switched(world, *to).await,
        Fault::ProviderSwitched { to: ProviderName::Example } => world.tunnel.move_to(&world.vpn).await,
        Fault::ProviderSwitched { to: ProviderName::Other } => world.tunnel.move_to(&world.other_vpn).await,
        Fault::ExitBecomesHome {} => exit_becomes_home(world).await,
        Fault::ExitBack {} => exit_back(world).await,
        Fault::Link { .. } => link(world, fault),
        Fault::Ipv6DefaultRoute { change } => ipv6_default_route(world, *change).await,
        Fault::NodeCutOff { node } => silence(world, network_of(node)?, true),
        Fault::NodeBack { node } => silence(world, network_of(node)?, false),
        Fault::Offline {} => world.laptop()?.ip("link set eth0 down\n").await,
        Fault::Online {} => online(world).await,
        Fault::RouteOutside { prefix, change } => network::route_outside(world, *prefix, *change).await,
        Fault::DhcpRoute { prefix, change } => network::dhcp_route(world, *prefix, *change).await,
        Fault::PolicyRule { prefix, change } => network::policy_rule(world, *prefix, *change).await,
        Fault::RouterAdvertisement { change } => network::router_advertisement(world, *change).await,
        Fault::Ipv6Dead { change } => network::ipv6_dead(world, *change).await,
        Fault::TunnelWithoutIpv6 { change } => world.tunnel.carry_ipv6(*change == Change::Remove).await,
        Fault::KillSwitch { change } => network::kill_switch(world, *change).await,
        Fault::CaptivePortal { change } => network::captive_portal(world, *change).await,
        Fault::LaptopSuspended { for_ms } => network::suspended(world, *for_ms),
        Fault::ClockJumped { by_ms } => network::clock_jumped(world, *by_ms),
        Fault::Roamed { to } => network::roamed(world, *to).await,
        // Services and witnesses
        Fault::DnsIntercepted { by, transport, change } => {
            names::intercept(world, *by, *transport, *change).await
        }
        Fault::ResolverForwards { to } => names::forward(world, *to).await,
        Fault::AnswersFalsified { at, names, with, change } => {
            names::falsify(world, *at, *names, *with, *change).await
        }
        Fault::ServiceDown { service } => services::down(world, service),
        Fault::ServiceSlow { service, ms } => services::slow(world, service, *ms),
        Fault::ServiceLies { service, address } => services::lie(world, service, *address).await,
        Fault::ServiceRefuses { service } => services::refuse(world, service),
        Fault::ServiceBabbles { service, what } => services::babble(world, service, *what),
        Fault::ServiceBack { service } => services::back(world, service).await,
        Fault::WitnessLiesAddress { node, address } => witnesses::lie_address(world, node, *address).await,
        Fault::WitnessLiesDns { node } => witnesses::lie_dns(world, node).await,
        Fault::WitnessSlow { node, ms } => witnesses::slow(world, node, *ms),
        Fault::WitnessBack { node } => witnesses::back(world, node).await,
        Fault::NodeAsleep { node } => crate::nodes::stop(world, node).await,
        Fault::NodeAwake { node } => crate::nodes::start(world, node).await,
    }
}

fn silence(world: &World, attachment: &str, silent: bool) -> Result<()> {
    world.internet.set(attachment, Direction::Both, |conditions| conditions.silent = silent)
}

/// The attached host behind which a node sits.
fn network_of(node: &str) -> Result<&'static str> {
    match node {
        "laptop" => Ok("home-router"),
        "vps" => Ok("cloud"),
        "home-server" => Ok("second-router"),
        _ => bail!("no node runs on {node}: it is laptop, vps or home-server"),
    }
}

async fn exit_switched(world: &World, to: Exit) -> Result<()> {
    let exit = match to {
        Exit::First => plan::VPN_EXIT,
        Exit::Second => plan::VPN_SECOND_EXIT,
    };
    world.vpn.exit_by(exit).await
}

/// The laptop's traffic still takes the way through the VPN server, so that neither routes nor round trips change, but
/// the world sees the home line. Answers must therefore find back to the server; only the tunnel's own packets and the
/// home router's questions to the ISP's resolver go where the address really is.
async fn exit_becomes_home(world: &World) -> Result<()> {
    world.internet.reroute(home(), "vpn", &["vpn", "isp"])?;
    world.vpn.exit_by(plan::HOME).await
}

async fn exit_back(world: &World) -> Result<()> {
    world.internet.unroute(home(), "vpn")?;
    world.vpn.exit_by(plan::VPN_EXIT).await
}

fn home() -> IpNet {
    IpAddr::from(plan::HOME).into()
}

fn link(world: &World, fault: &Fault) -> Result<()> {
    let Fault::Link { host, direction, delay_ms, jitter_ms, loss } = fault else { bail!("not a link fault") };
    ensure!(loss.is_none_or(|loss| (0.0..=1.0).contains(&loss)), "a loss of {loss:?} is outside 0 to 1");
    let delay = delay_ms.map(millis).transpose()?;
    let jitter = jitter_ms.map(millis).transpose()?;
    world.internet.set(host, *direction, |conditions| {
        conditions.delay = delay.unwrap_or(conditions.delay);
        conditions.jitter = jitter.unwrap_or(conditions.jitter);
        conditions.loss = loss.unwrap_or(conditions.loss);
    })
}

async fn ipv6_default_route(world: &World, change: Change) -> Result<()> {
    let (address, router) = (plan::LAPTOP_V6, plan::ROUTER_V6);
    let lines = match change {
        Change::Add => {
            format!("address add {address}/64 dev eth0 nodad\nroute add ::/0 via {router} dev eth0\n")
        }
        Change::Remove => {
            format!("route delete ::/0 via {router} dev eth0\naddress delete {address}/64 dev eth0\n")
        }
    };
    world.laptop()?.ip(&lines).await
}

async fn online(world: &World) -> Result<()> {
    let endpoint = world.tunnel.endpoint_route().unwrap_or_default();
    world.laptop()?.ip(&format!("{}{endpoint}", world.place.lines()?)).await
}

#[cfg(test)]
mod tests {
    use super::*;

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
