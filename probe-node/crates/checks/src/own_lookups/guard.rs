//! Which of the configured resolvers the program's own lookups may go to.

use crate::{
    dns::stub::{self, MAX_SERVERS, SystemResolver},
    platform::{PacketKind, Platform},
};
use ipnet::IpNet;
use sentinel_model::{
    ConfiguredResolver, Family, Interface, InterfaceKind, Outcome, Reason, RouteTaken, is_within,
};
use std::{
    net::IpAddr,
    sync::{Arc, PoisonError, RwLock},
};

/// The tunnel that this machine's traffic is expected to be in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ExpectedTunnel {
    /// None: the VPN is off on purpose, or was never on.
    #[default]
    None,
    /// One that is not recognised at this moment, such as that of an earlier run.
    Unrecognised,
    /// The one with this interface, whether or not it is up.
    Interface(String),
}

/// What a name is looked up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LookupPurpose {
    /// To connect to one of the user's nodes. Its name never leaves past a tunnel.
    Node,
    /// To ask a public service. If the tunnel is gone, the lookup goes where the request will.
    Service,
}

/// Decides which resolvers may be asked.
pub(crate) struct LookupGuard {
    platform: Arc<dyn Platform>,
    tunnel: RwLock<ExpectedTunnel>,
    /// Networks that the user allows to be reached past the tunnel.
    excluded: Vec<IpNet>,
    /// Resolvers that the user expects to resolve names, wherever they are.
    expected: Vec<IpAddr>,
    /// Destinations that show where ordinary traffic goes. Nothing is sent to them.
    ordinary: Vec<IpAddr>,
}

impl LookupGuard {
    pub(crate) fn new(
        platform: Arc<dyn Platform>,
        excluded: Vec<IpNet>,
        expected: Vec<IpAddr>,
        spread: &[IpAddr],
    ) -> Self {
        let ordinary = Family::ALL
            .into_iter()
            .filter_map(|family| spread.iter().find(|address| Family::of(**address) == family).copied());
        Self { ordinary: ordinary.collect(), platform, tunnel: RwLock::default(), excluded, expected }
    }

    /// Sets the tunnel that is expected from now on. Returns true if it is another one.
    pub(crate) fn expect(&self, tunnel: ExpectedTunnel) -> bool {
        let mut current = self.tunnel.write().unwrap_or_else(PoisonError::into_inner);
        let changed = *current != tunnel;
        *current = tunnel;
        changed
    }

    /// Returns what applications ask and this program may ask too, servers in the same order.
    ///
    /// If there is nothing, the error is why the first server may not be asked. A service of this
    /// machine may always be asked, as may a server on it: what they do is up to the system.
    pub(crate) async fn permitted(
        &self,
        configured: &[ConfiguredResolver],
        purpose: LookupPurpose,
    ) -> Result<SystemResolver, Reason> {
        let tunnel = self.tunnel.read().unwrap_or_else(PoisonError::into_inner).clone();
        let service = self.platform.find_name_service().await;
        let mut servers = Vec::new();
        let mut refusal = None;
        let asked = configured.iter().filter(|resolver| resolver.role.asked_by_applications());
        for resolver in asked.take(MAX_SERVERS) {
            match self.permit(resolver, &tunnel, purpose).await {
                Ok(()) => servers.push(stub::server_address(resolver)),
                Err(reason) => refusal = refusal.or(Some(reason)),
            }
        }
        match refusal {
            Some(reason) if servers.is_empty() && service.is_none() => Err(reason),
            _ => Ok(SystemResolver { servers, service }),
        }
    }

    async fn permit(
        &self,
        resolver: &ConfiguredResolver,
        tunnel: &ExpectedTunnel,
        purpose: LookupPurpose,
    ) -> Result<(), Reason> {
        let address = resolver.address.to_canonical();
        let is_allowed =
            address.is_loopback() || is_within(address, &self.excluded) || self.expected.contains(&address);
        if *tunnel == ExpectedTunnel::None || is_allowed {
            return Ok(());
        }
        // An answer that does not fit into a datagram is fetched over TCP.
        let (datagrams, stream) = (PacketKind::dns(address), PacketKind::dns_over_tcp(address));
        for packet in [datagrams, stream] {
            let route = match self.route_to(resolver, packet).await {
                Outcome::Measured(route) => route,
                Outcome::Unknown(Reason::Unreachable) => return Err(Reason::Unreachable),
                Outcome::Unknown(cause) => {
                    return Err(Reason::Failed(format!(
                        "the resolver {address} is not asked, since it is undetermined whether that would \
                         leave the tunnel: {cause}"
                    )));
                }
            };
            if is_inside(&route, tunnel) {
                continue;
            }
            if purpose == LookupPurpose::Service && !self.is_tunnel_used(tunnel).await {
                continue;
            }
            return Err(refusal(address, &route.interface, tunnel));
        }
        Ok(())
    }

    /// Returns the route of a packet to a resolver: by its own link if it is link-local.
    async fn route_to(&self, resolver: &ConfiguredResolver, packet: PacketKind) -> Outcome<RouteTaken> {
        let Some(link) = resolver.bound_to() else { return self.platform.find_route(packet).await };
        let interfaces = match self.platform.list_interfaces().await {
            Outcome::Measured(interfaces) => interfaces,
            Outcome::Unknown(reason) => return Outcome::Unknown(reason),
        };
        match interfaces.into_iter().find(|interface| interface.name == link && interface.up) {
            Some(Interface { name, kind, .. }) => {
                Outcome::Measured(RouteTaken { interface: name, kind, gateway: None, source: None })
            }
            None => Outcome::Unknown(Reason::Unreachable),
        }
    }

    /// Returns true if ordinary traffic goes through the tunnel, or if that is undetermined.
    async fn is_tunnel_used(&self, tunnel: &ExpectedTunnel) -> bool {
        for destination in &self.ordinary {
            match self.platform.find_route(PacketKind::web(*destination)).await {
                Outcome::Measured(route) if is_inside(&route, tunnel) => return true,
                Outcome::Measured(_) | Outcome::Unknown(Reason::Unreachable) => {}
                Outcome::Unknown(_) => return true,
            }
        }
        false
    }
}

fn refusal(resolver: IpAddr, interface: &str, tunnel: &ExpectedTunnel) -> Reason {
    let instead = match tunnel {
        ExpectedTunnel::Interface(name) => format!("not by the tunnel {name}"),
        ExpectedTunnel::None | ExpectedTunnel::Unrecognised => {
            "the expected VPN is not up, or not recognised yet".to_owned()
        }
    };
    Reason::Failed(format!(
        "the resolver {resolver} is not asked, since it is reached by {interface} and {instead}"
    ))
}

/// Returns true if a packet with this route enters the tunnel, or does not leave the machine.
///
/// Where the tunnel is not recognised, the kind of the interface is all there is to go by.
fn is_inside(route: &RouteTaken, tunnel: &ExpectedTunnel) -> bool {
    route.kind == InterfaceKind::Loopback
        || match tunnel {
            ExpectedTunnel::None => true,
            ExpectedTunnel::Unrecognised => route.kind == InterfaceKind::Tunnel,
            ExpectedTunnel::Interface(name) => route.interface == *name,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::CheckError, platform::Change};
    use async_trait::async_trait;
    use sentinel_model::{ResolverRole, Transport};
    use std::sync::Mutex;
    use tokio::sync::mpsc;

    const VPN: &str = "203.0.113.53";
    const ROUTER: &str = "198.51.100.1";
    const SPREAD: [&str; 2] = ["1.96.7.11", "2001:200::11"];

    /// Routes by destination and transport protocol; anything else leaves by `eth0`.
    #[derive(Default)]
    /// The routes: the server, the traffic, and what is answered.
    #[allow(clippy::type_complexity, reason = "a fixture of this test")]
    struct Routes(Mutex<Vec<(String, Option<Transport>, Outcome<RouteTaken>)>>);

    fn by(interface: &str, kind: InterfaceKind) -> Outcome<RouteTaken> {
        Outcome::Measured(RouteTaken { interface: interface.into(), kind, gateway: None, source: None })
    }

    #[async_trait]
    impl Platform for Routes {
        async fn find_route(&self, packet: PacketKind) -> Outcome<RouteTaken> {
            let routes = self.0.lock().unwrap();
            let route = routes.iter().find(|(destination, transport, _)| {
                *destination == packet.destination.to_string()
                    && transport.is_none_or(|transport| transport == packet.transport)
            });
            route.map_or_else(|| by("eth0", InterfaceKind::Physical), |(.., route)| route.clone())
        }

        async fn list_interfaces(&self) -> Outcome<Vec<Interface>> {
            let interface =
                |name: &str, kind| Interface { name: name.into(), kind, up: true, addresses: Vec::new() };
            Outcome::Measured(vec![
                interface("eth0", InterfaceKind::Physical),
                interface("wg0", InterfaceKind::Tunnel),
            ])
        }

        async fn read_resolver_config(&self) -> Outcome<Vec<ConfiguredResolver>> {
            Outcome::Measured(Vec::new())
        }

        fn watch_changes(&self) -> Result<mpsc::Receiver<Change>, CheckError> {
            Ok(mpsc::channel(1).1)
        }
    }

    /// A machine whose VPN is up: the VPN's resolver and ordinary traffic go through `wg0`.
    fn guard(tunnel: ExpectedTunnel) -> (LookupGuard, Arc<Routes>) {
        let routes = Arc::new(Routes::default());
        for inside in [VPN, SPREAD[0], SPREAD[1]] {
            set(&routes, inside, None, by("wg0", InterfaceKind::Tunnel));
        }
        let spread = SPREAD.map(|text| text.parse().unwrap());
        let guard = LookupGuard::new(
            routes.clone(),
            vec!["192.168.0.0/16".parse().unwrap()],
            vec!["192.0.2.200".parse().unwrap()],
            &spread,
        );
        guard.expect(tunnel);
        (guard, routes)
    }

    fn set(routes: &Routes, destination: &str, transport: Option<Transport>, route: Outcome<RouteTaken>) {
        routes.0.lock().unwrap().insert(0, (destination.into(), transport, route));
    }

    fn wg0() -> ExpectedTunnel {
        ExpectedTunnel::Interface("wg0".into())
    }

    fn resolvers(servers: &[&str]) -> Vec<ConfiguredResolver> {
        let resolver = |text: &&str| {
            let (address, link) = text.split_once('%').map_or((*text, None), |(a, link)| (a, Some(link)));
            ConfiguredResolver {
                address: address.parse().unwrap(),
                interface: link.map(str::to_owned),
                role: ResolverRole::First,
            }
        };
        servers.iter().map(resolver).collect()
    }

    async fn asked(
        guard: &LookupGuard,
        servers: &[&str],
        purpose: LookupPurpose,
    ) -> Result<Vec<String>, String> {
        let permitted = guard.permitted(&resolvers(servers), purpose).await;
        let permitted = permitted.map_err(|reason| reason.to_string())?;
        Ok(permitted.servers.iter().map(|server| server.ip().to_string()).collect())
    }

    async fn for_node(guard: &LookupGuard, servers: &[&str]) -> Result<Vec<String>, String> {
        asked(guard, servers, LookupPurpose::Node).await
    }

    #[tokio::test]
    async fn servers_outside_an_expected_tunnel_are_skipped_and_the_order_is_kept() {
        let (guard, _) = guard(wg0());
        assert_eq!(for_node(&guard, &[ROUTER, VPN]).await.unwrap(), [VPN]);
        let refused = for_node(&guard, &[ROUTER]).await.unwrap_err();
        assert!(refused.contains(ROUTER) && refused.contains("eth0") && refused.contains("wg0"), "{refused}");
        guard.expect(ExpectedTunnel::None);
        assert_eq!(for_node(&guard, &[ROUTER, VPN]).await.unwrap(), [ROUTER, VPN]);
    }

    #[tokio::test]
    async fn what_the_user_allows_and_what_is_on_this_machine_is_asked() {
        let (guard, routes) = guard(wg0());
        set(&routes, "10.0.0.5", None, by("lo", InterfaceKind::Loopback));
        let servers = ["192.168.7.1", "192.0.2.200", "127.0.0.53"];
        assert_eq!(for_node(&guard, &servers).await.unwrap(), servers);
        assert_eq!(for_node(&guard, &["10.0.0.5"]).await.unwrap(), ["10.0.0.5"], "its own address");
    }

    #[tokio::test]
    async fn a_link_local_server_is_inside_if_its_link_is() {
        let (guard, _) = guard(wg0());
        assert!(for_node(&guard, &["fe80::1%eth0"]).await.unwrap_err().contains("eth0"));
        assert_eq!(for_node(&guard, &["fe80::1%wg0"]).await.unwrap(), ["fe80::1"]);
        assert!(for_node(&guard, &["fe80::1%gone0"]).await.is_err());
    }

    #[tokio::test]
    async fn a_route_that_differs_for_tcp_counts_and_an_unknown_one_is_not_trusted() {
        let (guard, routes) = guard(wg0());
        set(&routes, VPN, Some(Transport::Tcp), by("eth0", InterfaceKind::Physical));
        assert!(for_node(&guard, &[VPN]).await.is_err());
        set(&routes, VPN, None, Outcome::Unknown(Reason::TimedOut));
        assert!(for_node(&guard, &[VPN]).await.unwrap_err().contains("undetermined"));
        set(&routes, VPN, None, Outcome::Unknown(Reason::Unreachable));
        assert_eq!(for_node(&guard, &[VPN]).await.unwrap_err(), Reason::Unreachable.to_string());
    }

    #[tokio::test]
    async fn a_tunnel_of_an_earlier_run_is_any_that_looks_like_one() {
        let (guard, _) = guard(ExpectedTunnel::Unrecognised);
        assert_eq!(for_node(&guard, &[ROUTER, VPN]).await.unwrap(), [VPN]);
        let refused = for_node(&guard, &[ROUTER]).await.unwrap_err();
        assert!(refused.contains("not up"), "{refused}");
    }

    #[tokio::test]
    async fn when_the_tunnel_is_gone_only_services_are_looked_up_the_way_they_are_asked() {
        for tunnel in [wg0(), ExpectedTunnel::Unrecognised] {
            let (guard, routes) = guard(tunnel);
            assert!(asked(&guard, &[ROUTER], LookupPurpose::Service).await.is_err(), "the tunnel is up");
            for destination in SPREAD {
                set(&routes, destination, None, by("eth0", InterfaceKind::Physical));
            }
            assert_eq!(asked(&guard, &[ROUTER], LookupPurpose::Service).await.unwrap(), [ROUTER]);
            assert!(for_node(&guard, &[ROUTER]).await.is_err());
            set(&routes, SPREAD[0], None, Outcome::Unknown(Reason::TimedOut));
            assert!(asked(&guard, &[ROUTER], LookupPurpose::Service).await.is_err(), "undetermined");
        }
    }
}
