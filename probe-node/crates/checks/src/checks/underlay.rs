//! The round trip to the tunnel's far end, outside the tunnel: what is inside the tunnel has to go at least that far,
//! so nothing inside can be faster. It is measured by a UDP packet to a port nobody listens on, which the far end
//! answers with an ICMP error; one that keeps silent, as some do, leaves it unknown.

use crate::{
    checks::Inner,
    platform::Probe,
    report::Report,
    self_leak::{PROBE_PORT, ways_out},
    settings::PastTunnel,
    volley,
};
use futures::future::join_all;
use sentinel_model::{Fact, Family, Interface, InterfaceKind, Micros, Outcome, Reason, UnderlaySeen};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// Two tunnels at once, one inside the other at most.
const MAX_ENDPOINTS: usize = 2;
/// The ports asked, one packet each: the smallest of three round trips counts.
const PORTS: [u16; 3] = [PROBE_PORT, PROBE_PORT + 1, PROBE_PORT + 2];

/// Longer than any way to a VPN server: one that keeps silent must not hold a round up.
const PATIENCE: Duration = Duration::from_secs(1);

/// Measures to every far end that is known, while a tunnel is up. Without a known far end there is nothing to report.
pub(crate) async fn run(inner: &Inner, report: &Report) {
    if inner.past_tunnel == PastTunnel::Off {
        return;
    }
    let Outcome::Measured(interfaces) = inner.platform.interfaces().await else { return };
    let is_up = |interface: &Interface| interface.up && interface.kind == InterfaceKind::Tunnel;
    if !interfaces.iter().any(is_up) {
        return;
    }
    let endpoints = match inner.endpoint {
        Some(endpoint) => vec![endpoint],
        None => inner.platform.tunnel_endpoints().await.measured().cloned().unwrap_or_default(),
    };
    let interfaces = &interfaces;
    join_all(endpoints.into_iter().take(MAX_ENDPOINTS).map(|endpoint| async move {
        // Where the far end is matters at once: the way to it rightly leads past the tunnel.
        let rtt = Outcome::Unknown(Reason::Failed("it is being measured".into()));
        report.fact(Fact::Underlay(UnderlaySeen { endpoint, rtt })).await;
        let rtt = match way(inner, endpoint, interfaces).await {
            Ok(interface) => smallest(inner, endpoint, interface).await,
            Err(reason) => Outcome::Unknown(reason),
        };
        report.fact(Fact::Underlay(UnderlaySeen { endpoint, rtt })).await;
    }))
    .await;
}

/// The interface to bind to: none where the system's own route to the far end leads past the tunnel.
async fn way(inner: &Inner, endpoint: IpAddr, interfaces: &[Interface]) -> Result<Option<String>, Reason> {
    let kind = match inner.platform.route_to(endpoint).await {
        Outcome::Measured(taken) => taken.kind,
        Outcome::Unknown(reason) => return Err(reason),
    };
    match kind {
        InterfaceKind::Physical => Ok(None),
        _ if inner.past_tunnel != PastTunnel::Full => Err(Reason::Failed(
            "the route to the tunnel's far end leads into the tunnel, and past_tunnel is not \"full\"".into(),
        )),
        _ => only_way(endpoint, interfaces).map(Some),
    }
}

/// Which of the physical interfaces has the default route does not show while a tunnel has taken it over; with only one
/// of the family there is no question.
fn only_way(endpoint: IpAddr, interfaces: &[Interface]) -> Result<String, Reason> {
    let mut candidates = ways_out(interfaces).filter(|(_, family)| *family == Family::of(endpoint));
    match (candidates.next(), candidates.next()) {
        (Some((interface, _)), None) => Ok(interface.name.clone()),
        (None, _) => Err(Reason::Unreachable),
        (Some(_), Some(_)) => {
            Err(Reason::Failed("several interfaces could lead to the tunnel's far end".into()))
        }
    }
}

/// The smallest of three round trips. Hosts answer few such packets a second (RFC 1812, section 4.3.2.8), so that one of
/// them is often left without an answer.
async fn smallest(inner: &Inner, endpoint: IpAddr, interface: Option<String>) -> Outcome<Micros> {
    let budget = inner.budget.min(PATIENCE);
    let probes = PORTS.map(|port| {
        let destination = SocketAddr::new(endpoint, port);
        let probe = Probe { destination, interface: interface.clone(), hops: None, budget };
        async move {
            match inner.platform.probe(&probe).await {
                Outcome::Measured(echo) if echo.by == endpoint => Ok(echo.rtt),
                // A router where the hops ran out: a loop on the way.
                Outcome::Measured(_) => Err(Reason::Unreachable),
                Outcome::Unknown(reason) => Err(reason),
            }
        }
    });
    let trips = volley::answers(probes).await;
    let smallest = trips.iter().flatten().min().copied();
    let failed = || trips.iter().find_map(|trip| trip.clone().err()).unwrap_or(Reason::TimedOut);
    smallest.map_or_else(|| Outcome::Unknown(failed()), Outcome::Measured)
}
