//! Check "latency", its part outside the tunnel: the round trip to the tunnel's far end.
//!
//! Packets inside the tunnel travel at least that far, so nothing inside can be faster. The round
//! trip is measured with UDP packets to ports on which nothing listens; the far end answers with an
//! ICMP error. Some hosts do not, which leaves the round trip undetermined.

use super::physical::{TRACEROUTE_PORT, physical_paths};
use crate::{
    context::Context,
    platform::{FarEnd, PacketKind, Probe},
    redundant,
    reporter::Reporter,
    settings::PastTunnel,
};
use futures::future::join_all;
use sentinel_model::{
    Fact, Family, FarEndEvidence, Interface, InterfaceKind, Micros, Outcome, Reason, UnderlaySeen,
};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// The most far ends measured: two tunnels, one inside the other.
const MAX_ENDPOINTS: usize = 2;
/// The ports asked, one packet each.
const PORTS: [u16; 3] = [TRACEROUTE_PORT, TRACEROUTE_PORT + 1, TRACEROUTE_PORT + 2];
/// Longer than any round trip to a VPN server, so that a silent one does not delay the round.
const MAX_RTT: Duration = Duration::from_secs(1);

/// Measures the round trip to the addresses that are far ends.
///
/// Nothing is sent to an address that only a host route suggests: whoever runs the network may have
/// handed it out.
pub(crate) async fn run(context: &Context, far_ends: &[FarEnd], reporter: &Reporter) {
    if context.past_tunnel == PastTunnel::Off {
        return;
    }
    let measured: Vec<FarEnd> = far_ends.iter().copied().filter(is_shown).take(MAX_ENDPOINTS).collect();
    if measured.is_empty() {
        return;
    }
    let interfaces = context.platform.list_interfaces().await.measured().cloned().unwrap_or_default();
    let interfaces = &interfaces;
    join_all(measured.into_iter().map(|far_end| async move {
        let rtt = match interface_to_bind(context, far_end.address, interfaces).await {
            Ok(interface) => smallest_rtt(context, far_end.address, interface).await,
            Err(reason) => Outcome::Unknown(reason),
        };
        reporter.send(Fact::Underlay(underlay_seen(context, far_end, rtt))).await;
    }))
    .await;
}

/// Reports every address that may be a far end, without its round trip.
///
/// A route to a far end outside the tunnel is expected, so this precedes the report of the routes.
pub(crate) async fn report_far_ends(context: &Context, far_ends: &[FarEnd], reporter: &Reporter) {
    for far_end in far_ends {
        let reason = match () {
            () if !is_shown(far_end) => "nothing shows that it is a far end",
            () if context.past_tunnel == PastTunnel::Off => "past_tunnel is \"off\"",
            () => "it is being measured",
        };
        let rtt = Outcome::Unknown(Reason::Failed(reason.into()));
        reporter.send(Fact::Underlay(underlay_seen(context, *far_end, rtt))).await;
    }
}

/// Returns true if more than a host route shows that an address is a far end.
fn is_shown(far_end: &FarEnd) -> bool {
    far_end.evidence != FarEndEvidence::HostRoute
}

/// Returns the possible far ends, best first: the stated one, then those the system shows.
pub(crate) async fn find_far_ends(context: &Context) -> Vec<FarEnd> {
    let stated = context
        .endpoint
        .map(|address| FarEnd { address: address.to_canonical(), evidence: FarEndEvidence::Stated });
    let found = context.platform.find_far_ends().await.measured().cloned().unwrap_or_default();
    let others = found.into_iter().filter(|far_end| Some(far_end.address) != stated.map(|it| it.address));
    stated.into_iter().chain(others).collect()
}

fn underlay_seen(context: &Context, far_end: FarEnd, rtt: Outcome<Micros>) -> UnderlaySeen {
    UnderlaySeen {
        endpoint: far_end.address,
        rtt,
        evidence: far_end.evidence,
        owner: context.ownership.find_local_owner(far_end.address),
    }
}

/// Returns the interface to bind to, or `None` if the system's route already avoids the tunnel.
async fn interface_to_bind(
    context: &Context,
    endpoint: IpAddr,
    interfaces: &[Interface],
) -> Result<Option<String>, Reason> {
    let probe = PacketKind::udp(SocketAddr::new(endpoint, TRACEROUTE_PORT));
    let kind = match context.platform.find_route(probe).await {
        Outcome::Measured(taken) => taken.kind,
        Outcome::Unknown(reason) => return Err(reason),
    };
    match kind {
        InterfaceKind::Physical => Ok(None),
        _ if context.past_tunnel != PastTunnel::Full => Err(Reason::Failed(
            "the route to the tunnel's far end leads into the tunnel, and past_tunnel is not \"full\"".into(),
        )),
        _ => only_physical_interface(endpoint, interfaces).map(Some),
    }
}

/// Returns the only physical interface of the endpoint's family.
///
/// While a tunnel holds the default route, it is not visible which of several would have it.
fn only_physical_interface(endpoint: IpAddr, interfaces: &[Interface]) -> Result<String, Reason> {
    let mut candidates = physical_paths(interfaces).filter(|(_, family)| *family == Family::of(endpoint));
    match (candidates.next(), candidates.next()) {
        (Some((interface, _)), None) => Ok(interface.name.clone()),
        (None, _) => Err(Reason::Unreachable),
        (Some(_), Some(_)) => {
            Err(Reason::Failed("several interfaces could lead to the tunnel's far end".into()))
        }
    }
}

/// Returns the smallest of three round trips.
///
/// Hosts limit such answers to a few per second (RFC 1812, section 4.3.2.8), so one of the packets
/// often remains unanswered.
async fn smallest_rtt(context: &Context, endpoint: IpAddr, interface: Option<String>) -> Outcome<Micros> {
    let budget = context.budget.min(MAX_RTT);
    let probes = PORTS.map(|port| {
        let destination = SocketAddr::new(endpoint, port);
        let probe = Probe { destination, interface: interface.clone(), hop_limit: None, budget };
        async move {
            match context.platform.send_probe(&probe).await {
                Outcome::Measured(echo) if echo.responder == endpoint => Ok(echo.rtt),
                // A router answered because the hop limit was reached: a routing loop.
                Outcome::Measured(_) => Err(Reason::Unreachable),
                Outcome::Unknown(reason) => Err(reason),
            }
        }
    });
    let trips = redundant::collect(probes).await;
    let smallest = trips.iter().flatten().min().copied();
    let failed = || trips.iter().find_map(|trip| trip.clone().err()).unwrap_or(Reason::TimedOut);
    smallest.map_or_else(|| Outcome::Unknown(failed()), Outcome::Measured)
}
