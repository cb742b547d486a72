//! Whether packets get out past the tunnel: each physical interface is tried with a packet bound to it that dies at one
//! of the first routers. The router's word that it did is the proof that the kill switch is open.
//!
//! The packet is addressed to somewhere in the internet and not to the tunnel's far end: every kill switch lets traffic
//! to the far end pass, or there would be no tunnel, so an answer on that way would prove nothing.

use crate::{
    checks::Inner,
    platform::{Echo, Probe},
    report::Report,
    settings::PastTunnel,
};
use futures::future::join_all;
use ipnet::IpNet;
use sentinel_model::{
    Fact, Family, Interface, InterfaceKind, KillSwitchSeen, Outcome, PhysicalEgress, Reason,
};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// More physical interfaces than a machine has in use at once.
const MAX_INTERFACES: usize = 4;
/// The home router is the first; a router that says nothing may stand before one that does. Beyond the third others
/// than the user and the access network would see the packet.
const MAX_HOPS: u8 = 3;
/// Where traceroute's packets go: nothing listens there.
pub(crate) const PROBE_PORT: u16 = 33_434;

/// HTTP/3, which any firewall that is no kill switch lets pass.
const WEB_PORT: u16 = 443;
/// The first routers are a few milliseconds away; one that keeps silent must not hold a round up.
const HOP: Duration = Duration::from_millis(400);

/// Tries every physical interface in every family it has an address in, where allowed; also without a tunnel, since a
/// kill switch is there for that moment.
pub(crate) async fn run(inner: &Inner, report: &Report) {
    if inner.past_tunnel == PastTunnel::Off {
        return;
    }
    let Outcome::Measured(interfaces) = inner.platform.interfaces().await else { return };
    let tries = ways_out(&interfaces).filter_map(|(interface, family)| {
        let destination = *inner.spread.iter().find(|address| Family::of(**address) == family)?;
        Some((interface, family, destination))
    });
    join_all(tries.map(|(interface, family, destination)| async move {
        let egress = attempt(inner, &interface.name, destination).await;
        let seen = KillSwitchSeen { interface: interface.name.clone(), family, egress };
        report.fact(Fact::KillSwitch(seen)).await;
    }))
    .await;
}

/// The physical interfaces that could carry packets, per family.
pub(crate) fn ways_out(interfaces: &[Interface]) -> impl Iterator<Item = (&Interface, Family)> {
    let physical = interfaces.iter().filter(|each| each.up && each.kind == InterfaceKind::Physical);
    physical.take(MAX_INTERFACES).flat_map(|interface| {
        let reaches = |family| {
            let mut addresses = interface.addresses.iter().map(IpNet::addr);
            addresses.any(|address| Family::of(address) == family && !is_link_local(address))
        };
        Family::ALL.into_iter().filter(move |family| reaches(*family)).map(move |family| (interface, family))
    })
}

/// An address that no router passes on (RFC 3927, RFC 4291).
fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// One hop, and one more while nobody answers. The last reason is the one that is told.
async fn attempt(inner: &Inner, interface: &str, destination: IpAddr) -> Outcome<PhysicalEgress> {
    let patience = (inner.budget / u32::from(MAX_HOPS)).min(HOP);
    let probe = |port, hops| Probe {
        destination: SocketAddr::new(destination, port),
        interface: Some(interface.to_owned()),
        hops: Some(hops),
        budget: patience,
    };
    let mut told = Reason::TimedOut;
    for hops in 1..=MAX_HOPS {
        let mut heard = inner.platform.probe(&probe(PROBE_PORT, hops)).await;
        if is_refused(&heard) {
            // A firewall that holds traceroute back may well let the web pass.
            heard = inner.platform.probe(&probe(WEB_PORT, hops)).await;
            if is_refused(&heard) {
                return Outcome::Measured(PhysicalEgress::Closed);
            }
        }
        match heard {
            Outcome::Measured(echo) => return Outcome::Measured(PhysicalEgress::Open { by: echo.by }),
            Outcome::Unknown(Reason::TimedOut) => {}
            Outcome::Unknown(reason) => {
                told = reason;
                break;
            }
        }
    }
    Outcome::Unknown(told)
}

fn is_refused(heard: &Outcome<Echo>) -> bool {
    matches!(heard, Outcome::Unknown(Reason::Refused(_)))
}
