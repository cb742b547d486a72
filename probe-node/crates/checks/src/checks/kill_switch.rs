//! Check "kill switch": whether packets get out past the tunnel.
//!
//! On each physical interface, a packet is sent whose hop limit ends at one of the first routers.
//! The router's "time exceeded" message proves that the kill switch is open.
//!
//! The packet is addressed to a host on the internet and not to the tunnel's far end: every kill
//! switch lets traffic to the far end pass, or there would be no tunnel, so an answer on that path
//! would prove nothing.

use super::physical::{TRACEROUTE_PORT, physical_paths};
use crate::{
    context::Context,
    platform::{Probe, ProbeReply},
    reporter::Reporter,
    settings::PastTunnel,
};
use futures::future::join_all;
use sentinel_model::{Fact, Family, KillSwitchSeen, Outcome, PhysicalEgress, Reason};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// The farthest router tried.
///
/// The first is the home router; a silent router may be in front of one that answers. Beyond the
/// third, others than the user and the access network would see the packet.
const MAX_HOPS: u8 = 3;
/// The port of HTTP/3, which a firewall that is not a kill switch lets pass.
const WEB_PORT: u16 = 443;
/// Time limit of one probe: the first routers are milliseconds away, and some keep silent.
const HOP_BUDGET: Duration = Duration::from_millis(400);

/// Probes every physical interface in every family it has an address in, where that is allowed.
///
/// It also does so without a tunnel, because that is the moment a kill switch exists for.
pub(crate) async fn run(context: &Context, reporter: &Reporter) {
    if context.past_tunnel == PastTunnel::Off {
        return;
    }
    let Outcome::Measured(interfaces) = context.platform.list_interfaces().await else { return };
    let attempts = physical_paths(&interfaces).filter_map(|(interface, family)| {
        let destination = *context.spread.iter().find(|address| Family::of(**address) == family)?;
        Some((interface, family, destination))
    });
    join_all(attempts.map(|(interface, family, destination)| async move {
        let egress = probe_interface(context, &interface.name, destination).await;
        let seen = KillSwitchSeen { interface: interface.name.clone(), family, egress };
        reporter.send(Fact::KillSwitch(seen)).await;
    }))
    .await;
}

/// Probes the first router, and the next one while none answers.
///
/// If nothing is proved, the outcome is the last reason.
async fn probe_interface(context: &Context, interface: &str, destination: IpAddr) -> Outcome<PhysicalEgress> {
    let budget = (context.budget / u32::from(MAX_HOPS)).min(HOP_BUDGET);
    let probe = |port, hops| Probe {
        destination: SocketAddr::new(destination, port),
        interface: Some(interface.to_owned()),
        hop_limit: Some(hops),
        budget,
    };
    for hops in 1..=MAX_HOPS {
        let mut echo = context.platform.send_probe(&probe(TRACEROUTE_PORT, hops)).await;
        if is_refused(&echo) {
            // A firewall that blocks traceroute may still let the web pass.
            echo = context.platform.send_probe(&probe(WEB_PORT, hops)).await;
            if is_refused(&echo) {
                return Outcome::Measured(PhysicalEgress::Closed);
            }
        }
        match echo {
            Outcome::Measured(echo) => return Outcome::Measured(PhysicalEgress::Open { by: echo.responder }),
            Outcome::Unknown(Reason::TimedOut) => {}
            Outcome::Unknown(reason) => return Outcome::Unknown(reason),
        }
    }
    Outcome::Unknown(Reason::TimedOut)
}

fn is_refused(echo: &Outcome<ProbeReply>) -> bool {
    matches!(echo, Outcome::Unknown(Reason::Refused(_)))
}
