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
        let ordinary = Family::ALL.into_iter().filter_map(|family| {
            spread.iter().find(|address| Family::of(**address) == family).copied()
        });
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
        let is_allowed = address.is_loopback()
            || is_within(address, &self.excluded)
            || self.expected.contains(&address);
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
        ExpectedTunnel::None | ExpectedTunnel::Unrecognised => "the VPN is expected but not up".to_owned(),
    };
    Reason::Failed(format!("the resolver {resolver} is not asked, since it is reached by {interface} and {instead}"))
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
