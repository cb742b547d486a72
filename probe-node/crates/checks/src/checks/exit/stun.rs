//! The exit as witnesses and public STUN servers see it, one exchange per voice and family.

use super::voice::{accept_exit, reject_excluded, report_exit, service_voice};
use crate::{
    context::Context,
    own_lookups::ServiceNames,
    plan::WitnessTarget,
    platform::PacketKind,
    protocols::stun::{self, Mapped},
    reason, redundant,
    reporter::Reporter,
    services::stun_server::StunServer,
};
use futures::future::join_all;
use sentinel_model::{ExitPath, Fact, Family, Reason, RoundTrip, Voice};
use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// The most witnesses asked at once.
const MAX_WITNESSES: usize = 32;
/// Delay between two exchanges with the same server.
const SPACING: Duration = Duration::from_millis(20);

/// Exchanges one beacon with every witness in every family it has an address in, all at once.
pub(crate) async fn ask_witnesses(context: &Context, targets: &[WitnessTarget], reporter: &Reporter) {
    let asks = targets.iter().take(MAX_WITNESSES).flat_map(|target| {
        Family::ALL.into_iter().filter_map(move |family| {
            let mut addresses = target.addresses.iter();
            Some((target, family, *addresses.find(|address| Family::of(address.ip()) == family)?))
        })
    });
    join_all(asks.map(|(target, family, address)| async move {
        let mapped = match reject_excluded(context, address.ip()) {
            Ok(()) => stun::request_binding(address, target.credential.as_ref(), context.budget).await,
            Err(reason) => Err(reason),
        };
        let (voice, asked) = (target.voice.clone(), Some(PacketKind::udp(address)));
        report_exchange(context, (family, asked), voice, ExitPath::Beacon, mapped, reporter).await;
    }))
    .await;
}

/// Asks every public STUN server in both families, all at once.
pub(crate) async fn ask_public_servers(context: &Context, names: &ServiceNames, reporter: &Reporter) {
    let now = Instant::now();
    let servers = context.stun_servers.iter().filter(|it| context.rate_limiter.may_ask(&it.name, now));
    let asks = servers.flat_map(|server| Family::ALL.map(|family| (server, family)));
    join_all(asks.map(|(server, family)| async move {
        let (address, mapped) = match server.host.locate(family, names).await {
            Ok(Some(address)) => (Some(address), ask_public_server(context, server, address).await),
            Ok(None) => return,
            Err(reason) => (None, Err(reason)),
        };
        let voice = service_voice(context, (&server.name, &server.host), family, address);
        let asked = address.map(|address| PacketKind::udp(SocketAddr::new(address, server.port)));
        report_exchange(context, (family, asked), voice, ExitPath::Stun, mapped, reporter).await;
    }))
    .await;
}

async fn ask_public_server(
    context: &Context,
    server: &StunServer,
    address: IpAddr,
) -> Result<Mapped, Reason> {
    reject_excluded(context, address)?;
    quickest_of_three(SocketAddr::new(address, server.port), context.budget).await
}

/// Returns the quickest of three exchanges, each on a fresh socket.
///
/// They start [`SPACING`] apart, so that one full queue does not slow all of them. Public servers
/// are asked once per round only, so the minimum has to come from one round; witnesses are asked
/// every second, and the judge uses the median of the last three. Only exchanges over the same exit
/// as the first answered one count.
async fn quickest_of_three(target: SocketAddr, budget: Duration) -> Result<Mapped, Reason> {
    let exchanges = redundant::collect((0..3).map(|nth| async move {
        sleep(SPACING * nth).await;
        stun::request_binding(target, None, budget.saturating_sub(SPACING * nth)).await
    }))
    .await;
    let mut answered = exchanges.iter().flatten();
    let Some(first) = answered.next() else {
        return exchanges.into_iter().next().unwrap_or(Err(Reason::TimedOut));
    };
    let same_exit = answered.filter(|mapped| mapped.address == first.address);
    Ok(same_exit.fold(*first, |best, mapped| if mapped.rtt < best.rtt { *mapped } else { best }))
}

/// Reports the exit, and the round trip if there was an answer.
///
/// `asked` is the kind of packet by which the voice was asked, if it could be located.
async fn report_exchange(
    context: &Context,
    (family, asked): (Family, Option<PacketKind>),
    voice: Voice,
    path: ExitPath,
    mapped: Result<Mapped, Reason>,
    reporter: &Reporter,
) {
    let rtt = mapped.as_ref().ok().map(|mapped| mapped.rtt);
    let address = reason::outcome(mapped.and_then(|mapped| accept_exit(context, family, mapped.address)));
    if let Some(rtt) = rtt {
        let exit = address.measured().cloned();
        reporter.send(Fact::RoundTrip(RoundTrip { family, target: voice.clone(), rtt, exit })).await;
    }
    report_exit(context, asked, voice, path, (family, address), reporter).await;
}
