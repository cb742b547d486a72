//! Questions past the tunnel: none unless the user allows them, and then by the physical interface.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test helpers may panic

mod support;

use async_trait::async_trait;
use sentinel_checks::{
    Change, CheckError, Checks, FarEnd, OwnResolver, Ownership, PacketKind, PastTunnel, Platform, RoundPlan,
    WhoamiKind, WhoamiZone, clock,
};
use sentinel_model::{
    ConfiguredResolver, Fact, FarEndEvidence, Interface, InterfaceKind, Outcome, Reason, ResolverPath,
    ResolverRole, RouteTaken,
};
use socket2::Socket;
use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex},
};
use support::{EPOCH, gathered, settings};
use tokio::sync::mpsc;

/// A laptop whose default route is the tunnel's, with a kill switch that refuses bound sockets.
#[derive(Default)]
struct Laptop {
    gateway: Option<IpAddr>,
    offered: Vec<ConfiguredResolver>,
    bound: Mutex<Vec<String>>,
}

const ENDPOINT: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 51));

#[async_trait]
impl Platform for Laptop {
    async fn find_route(&self, packet: PacketKind) -> Outcome<RouteTaken> {
        let (interface, kind, gateway) = if packet.destination == ENDPOINT {
            ("eth0", InterfaceKind::Physical, self.gateway)
        } else {
            ("wg0", InterfaceKind::Tunnel, Some(IpAddr::from([10, 64, 0, 1])))
        };
        Outcome::Measured(RouteTaken { interface: interface.into(), kind, gateway, source: None })
    }

    async fn list_interfaces(&self) -> Outcome<Vec<Interface>> {
        let interface = |name: &str, kind| Interface { name: name.into(), kind, up: true, addresses: vec![] };
        Outcome::Measured(vec![
            interface("eth0", InterfaceKind::Physical),
            interface("wg0", InterfaceKind::Tunnel),
        ])
    }

    async fn read_resolver_config(&self) -> Outcome<Vec<ConfiguredResolver>> {
        Outcome::Measured(Vec::new())
    }

    async fn find_far_ends(&self) -> Outcome<Vec<FarEnd>> {
        Outcome::Measured(vec![FarEnd { address: ENDPOINT, evidence: FarEndEvidence::Peer }])
    }

    async fn list_dhcp_resolvers(&self) -> Outcome<Vec<ConfiguredResolver>> {
        Outcome::Measured(self.offered.clone())
    }

    fn bind_to_interface(&self, _: &Socket, interface: &str) -> io::Result<()> {
        self.bound.lock().unwrap().push(interface.to_owned());
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn watch_changes(&self) -> Result<mpsc::Receiver<Change>, CheckError> {
        Ok(mpsc::channel(1).1)
    }
}

/// Runs a round; returns the reports on the local network's resolvers and the interfaces used.
async fn reported(
    laptop: Laptop,
    past_tunnel: PastTunnel,
) -> (Vec<(ResolverPath, Outcome<()>)>, Vec<String>) {
    let laptop = Arc::new(laptop);
    let mut settings = settings();
    settings.past_tunnel = past_tunnel;
    settings.whoami_zones = vec![WhoamiZone { name: "who.example".into(), kind: WhoamiKind::Canary }];
    settings.spread = vec![IpAddr::from([198, 51, 100, 1])];
    let resolver = OwnResolver::new(&settings, Vec::new(), laptop.clone());
    let checks = Checks::new(settings, laptop.clone(), Ownership::default(), resolver, clock()).unwrap();
    let facts = gathered(async |out| checks.round(EPOCH, &RoundPlan::default(), out).await).await;
    let seen = facts.into_iter().filter_map(|fact| match fact {
        Fact::Resolver(seen) if matches!(seen.path, ResolverPath::Gateway(_) | ResolverPath::Dhcp(_)) => {
            Some((seen.path, seen.resolvers.map(|_| ())))
        }
        _ => None,
    });
    let bound = laptop.bound.lock().unwrap().clone();
    (seen.collect(), bound)
}

fn at_home() -> Laptop {
    let (gateway, offered) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 53]));
    Laptop {
        gateway: Some(gateway),
        offered: vec![ConfiguredResolver {
            address: offered,
            interface: None,
            role: ResolverRole::Unspecified,
        }],
        ..Laptop::default()
    }
}

#[tokio::test]
async fn nothing_is_asked_past_the_tunnel_unless_the_user_allows_it() {
    for setting in [PastTunnel::Off, PastTunnel::Quiet] {
        assert_eq!(reported(at_home(), setting).await, (vec![], vec![]));
    }
}

#[tokio::test]
async fn the_gateway_and_dhcps_resolvers_are_asked_by_the_physical_interface() {
    let (resolvers, bound) = reported(at_home(), PastTunnel::Full).await;
    let closed = Outcome::Unknown(Reason::Unreachable);
    assert_eq!(
        resolvers,
        [
            (ResolverPath::Gateway([127, 0, 0, 1].into()), closed.clone()),
            (ResolverPath::Dhcp([127, 0, 0, 53].into()), closed)
        ]
    );
    assert_eq!(bound, ["eth0", "eth0"]);
}

#[tokio::test]
async fn an_undetermined_gateway_is_reported_as_unknown() {
    let (resolvers, bound) = reported(Laptop::default(), PastTunnel::Full).await;
    let [(ResolverPath::Gateway(address), Outcome::Unknown(Reason::Failed(_)))] = &resolvers[..] else {
        panic!("{resolvers:?}");
    };
    assert!(address.is_unspecified() && bound.is_empty());
}
