//! The exit address, as witnesses and public STUN servers see it, one exchange per voice and family. The HTTPS
//! services are in `https_echo`.

use crate::{
    checks::Inner,
    names::{self, System},
    plan::WitnessTarget,
    reason,
    report::Report,
    stun, volley,
};
use futures::future::join_all;
use sentinel_model::{
    Attributed, ExitPath, ExitSeen, Fact, Family, NetworkKey, Outcome, Reason, RoundTrip, Source, Voice,
};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// More witnesses than a subject ever uses at once.
const MAX_TARGETS: usize = 32;

/// Between two exchanges with the same server.
const APART: Duration = Duration::from_millis(20);

/// A public STUN server, its address parsed.
#[derive(Clone, Debug)]
pub(crate) struct StunServer {
    pub(crate) name: String,
    pub(crate) host: Host,
    pub(crate) port: u16,
}

/// Where a public service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// At this address, so in one family only.
    Address(IpAddr),
    /// Wherever this name leads now.
    Name(String),
}

/// One exchange with every witness in every family it can be reached by, all at once.
pub(crate) async fn witnesses(inner: &Inner, targets: &[WitnessTarget], report: &Report) {
    let asks = targets.iter().take(MAX_TARGETS).flat_map(|target| {
        Family::ALL.into_iter().filter_map(move |family| {
            let mut addresses = target.addresses.iter();
            Some((target, family, *addresses.find(|address| Family::of(address.ip()) == family)?))
        })
    });
    join_all(asks.map(|(target, family, address)| async move {
        let found = match excluded(inner, address.ip()) {
            Some(reason) => Err(reason),
            None => stun::binding(address, target.credential.as_ref(), inner.budget).await,
        };
        exchanged(inner, family, target.voice.clone(), ExitPath::Beacon, found, report).await;
    }))
    .await;
}

/// One exchange with every public STUN server in both families, all at once.
pub(crate) async fn public_stun(inner: &Inner, system: &System, report: &Report) {
    let now = Instant::now();
    let asked = inner.stun.iter().filter(|server| inner.courtesy.may_ask(&server.name, now));
    let asks = asked.flat_map(|server| Family::ALL.map(|family| (server, family)));
    join_all(asks.map(|(server, family)| async move {
        let found = match locate(&server.host, family, system).await {
            Ok(Some(address)) => {
                let found = match excluded(inner, address) {
                    Some(reason) => Err(reason),
                    None => best_of_three(SocketAddr::new(address, server.port), inner.budget).await,
                };
                (voice(inner, &server.name, family, Some(address)), found)
            }
            Ok(None) => return,
            Err(reason) => (voice(inner, &server.name, family, None), Err(reason)),
        };
        exchanged(inner, family, found.0, ExitPath::Stun, found.1, report).await;
    }))
    .await;
}

/// The quickest of three exchanges, each on a fresh socket and a moment after the one before, so that one full queue
/// does not slow all of them. Public servers are asked once per round only, so the smallest of several round trips has to
/// come from one round; witnesses are asked every second, and the judge goes by the median of the last three. Only
/// exchanges over the same exit as the first that was answered count.
async fn best_of_three(target: SocketAddr, budget: Duration) -> Result<stun::Mapped, Reason> {
    let exchanges = volley::answers((0..3).map(|nth| async move {
        sleep(APART * nth).await;
        stun::binding(target, None, budget.saturating_sub(APART * nth)).await
    }))
    .await;
    let mut answered = exchanges.iter().flatten();
    let Some(first) = answered.next() else {
        return exchanges.into_iter().next().unwrap_or(Err(Reason::TimedOut));
    };
    let same = answered.filter(|mapped| mapped.address == first.address);
    Ok(same.fold(*first, |best, mapped| if mapped.rtt < best.rtt { *mapped } else { best }))
}

/// Why an address cannot tell the exit, if it lies where the user wants to be reached past the tunnel.
pub(crate) fn excluded(inner: &Inner, address: IpAddr) -> Option<Reason> {
    let address = address.to_canonical();
    let excluded = inner.excluded.iter().any(|network| network.contains(&address));
    excluded.then(|| Reason::Failed("it is reached past the tunnel on purpose".into()))
}

/// The first address of a service in a family; `None` if it has none there.
pub(crate) async fn locate(host: &Host, family: Family, system: &System) -> Result<Option<IpAddr>, Reason> {
    match host {
        Host::Address(address) => Ok((Family::of(*address) == family).then_some(*address)),
        Host::Name(name) => {
            let servers = system.as_ref().map_err(Reason::clone)?;
            let name = names::parse(name).map_err(Reason::Failed)?;
            Ok(servers.addresses(&name, family).await?.first().copied())
        }
    }
}

/// A public service as a voice. While its own address is unknown it sits in the network of the unspecified address,
/// which it shares with every other voice that could not be found.
pub(crate) fn voice(inner: &Inner, name: &str, family: Family, address: Option<IpAddr>) -> Voice {
    let network = match (address, family) {
        (Some(address), _) => inner.ownership.attribute(address).network(),
        (None, Family::V4) => NetworkKey::of_prefix(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        (None, Family::V6) => NetworkKey::of_prefix(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
    };
    Voice { source: Source::Service(name.to_owned()), name: name.to_owned(), network }
}

/// What a voice saw, if it can have seen an exit at all.
pub(crate) fn exit(inner: &Inner, family: Family, address: IpAddr) -> Result<Attributed, Reason> {
    let address = address.to_canonical();
    if Family::of(address) != family {
        return Err(Reason::Malformed(format!("{address} is no {family} address")));
    }
    if inner.bogons.iter().any(|range| range.contains(&address)) {
        return Err(Reason::Malformed(format!("private address {address}")));
    }
    Ok(inner.ownership.attribute(address))
}

async fn exchanged(
    inner: &Inner,
    family: Family,
    voice: Voice,
    path: ExitPath,
    found: Result<stun::Mapped, Reason>,
    report: &Report,
) {
    let rtt = found.as_ref().ok().map(|mapped| mapped.rtt);
    let address = reason::outcome(found.and_then(|mapped| exit(inner, family, mapped.address)));
    if let Some(rtt) = rtt {
        let exit = address.measured().cloned();
        report.fact(Fact::RoundTrip(RoundTrip { family, target: voice.clone(), rtt, exit })).await;
    }
    tell(family, voice, path, address, report).await;
}

pub(crate) async fn tell(
    family: Family,
    voice: Voice,
    path: ExitPath,
    address: Outcome<Attributed>,
    report: &Report,
) {
    report.fact(Fact::Exit(ExitSeen { family, voice, path, address })).await;
}
