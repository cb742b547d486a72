//! Check "latency", its part outside the tunnel: the round trip to the tunnel's far end.
//!
//! Packets inside the tunnel travel at least that far, so nothing inside can be faster. The round
//! trip is measured with UDP packets to ports on which nothing listens; the far end answers with an
//! ICMP error. Some hosts do not, which leaves the round trip undetermined.

use super::physical::{TRACEROUTE_PORT, physical_paths};
use crate::{context::Context, platform::Probe, redundant, reporter::Reporter, settings::PastTunnel};
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

/// Measures the round trip to every known far end while a tunnel is up.
///
/// Reports nothing if no far end is known.
pub(crate) async fn run(context: &Context, reporter: &Reporter) {
    if context.past_tunnel == PastTunnel::Off {
        return;
    }
    let Outcome::Measured(interfaces) = context.platform.list_interfaces().await else { return };
    let is_tunnel_up = |interface: &Interface| interface.up && interface.kind == InterfaceKind::Tunnel;
    if !interfaces.iter().any(is_tunnel_up) {
        return;
    }
    let endpoints = match context.endpoint {
        Some(endpoint) => vec![endpoint],
        None => context.platform.find_far_ends().await.measured().cloned().unwrap_or_default(),
    };
    let interfaces = &interfaces;
    join_all(endpoints.into_iter().take(MAX_ENDPOINTS).map(|endpoint| async move {
        // The far end's address is reported at once: a route to it outside the tunnel is expected.
        let rtt = Outcome::Unknown(Reason::Failed("it is being measured".into()));
        reporter
            .send(Fact::Underlay(UnderlaySeen { endpoint, rtt, evidence: FarEndEvidence::HostRoute }))
            .await;
        let rtt = match interface_to_bind(context, endpoint, interfaces).await {
            Ok(interface) => smallest_rtt(context, endpoint, interface).await,
            Err(reason) => Outcome::Unknown(reason),
        };
        reporter
            .send(Fact::Underlay(UnderlaySeen { endpoint, rtt, evidence: FarEndEvidence::HostRoute }))
            .await;
    }))
    .await;
}

/// Returns the interface to bind to, or `None` if the system's route already avoids the tunnel.
async fn interface_to_bind(
    context: &Context,
    endpoint: IpAddr,
    interfaces: &[Interface],
) -> Result<Option<String>, Reason> {
    let kind = match context.platform.find_route(endpoint).await {
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
