//! Runs the checks. They all run at once, each within its own budget, so a slow or dead service delays nothing but
//! the word about itself.
//!
//! ```text
//! beacon   one STUN exchange per witness and family
//! round    local facts, captive portal | self-leak | underlay | resolver identity | interception | answers | public STUN
//!          | HTTPS echo
//! local    interfaces, resolver configuration -> routes -> connectivity | self-leak; only the latter sends a packet
//! ```

use crate::{
    answers,
    cached::Cached,
    connectivity,
    courtesy::Courtesy,
    error::CheckError,
    exit::{self, Host, StunServer},
    https_echo::{self, EchoClients, EchoService},
    interception,
    names::{self, Servers, System},
    ownership::Ownership,
    plan::{RoundPlan, WitnessTarget},
    platform::Platform,
    portal::{self, Portal},
    public_resolver::{PublicResolver, socket_address},
    report::Report,
    resolver_config, resolver_identity, routes, self_leak,
    settings::{PastTunnel, Service, Settings, WhoamiKind, WhoamiZone},
    tls::Tls,
    underlay,
};
use futures::future::join;
use hickory_resolver::proto::rr::Name;
use ipnet::IpNet;
use sentinel_model::{Clock, ConfiguredResolver, Connectivity, Epoch, Fact, Observation};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// The port of STUN (RFC 8489, section 14.1).
const STUN_PORT: u16 = 3478;
/// More names than a comparison needs.
const MAX_PANEL: usize = 16;
/// More services of one kind than there can be independent voices of use.
const MAX_SERVICES: usize = 16;

/// All checks of this machine. A handle: cloning it is cheap.
#[derive(Clone)]
pub struct Checks {
    inner: Arc<Inner>,
}

/// What every check may use. Only services the user consented to are in it at all.
pub(crate) struct Inner {
    pub(crate) budget: Duration,
    pub(crate) stun: Vec<StunServer>,
    pub(crate) echo: Vec<EchoService>,
    /// None where no service is to be asked: the certificates would only take memory.
    pub(crate) echo_clients: Option<EchoClients>,
    pub(crate) portal: Vec<Portal>,
    pub(crate) public_whoami: Vec<WhoamiZone>,
    pub(crate) resolvers: Vec<PublicResolver>,
    pub(crate) panel: Vec<Name>,
    pub(crate) whoami_zones: Vec<WhoamiZone>,
    pub(crate) spread: Vec<IpAddr>,
    pub(crate) past_tunnel: PastTunnel,
    pub(crate) endpoint: Option<IpAddr>,
    pub(crate) excluded: Vec<IpNet>,
    pub(crate) bogons: Vec<IpNet>,
    pub(crate) platform: Arc<dyn Platform>,
    pub(crate) ownership: Ownership,
    pub(crate) courtesy: Courtesy,
    pub(crate) cached: Cached,
    pub(crate) tls: Tls,
    clock: Clock,
}

impl Checks {
    /// Takes the settings apart once; an address or a name that cannot be used is an error here, not later.
    pub fn new(
        settings: Settings,
        platform: Arc<dyn Platform>,
        ownership: Ownership,
        clock: Clock,
    ) -> Result<Self, CheckError> {
        let services = &settings.services;
        let budget = settings.timeout.duration();
        for zone in &settings.whoami_zones {
            domain_name(&zone.name)?;
        }
        let tls = Tls::default();
        let echo: Vec<EchoService> = parsed(services.allowed(&services.https_echo), EchoService::parse)?;
        let portal: Vec<Portal> =
            services.allowed_portal().take(MAX_SERVICES).map(Portal::parse).collect::<Result<_, _>>()?;
        let inner = Inner {
            budget,
            stun: parsed(services.allowed(&services.stun), stun_server)?,
            echo_clients: if echo.is_empty() && portal.is_empty() {
                None
            } else {
                Some(EchoClients::new(budget, &tls)?)
            },
            echo,
            portal,
            public_whoami: parsed(services.allowed(&services.whoami), whoami_zone)?,
            resolvers: services
                .allowed_resolvers()
                .take(MAX_SERVICES)
                .map(PublicResolver::parse)
                .collect::<Result<_, _>>()?,
            panel: settings
                .panel
                .iter()
                .take(MAX_PANEL)
                .map(|name| domain_name(name))
                .collect::<Result<_, _>>()?,
            whoami_zones: settings.whoami_zones,
            spread: settings.spread,
            past_tunnel: settings.past_tunnel,
            endpoint: settings.endpoint,
            excluded: settings.excluded,
            bogons: settings.bogons,
            platform,
            ownership,
            courtesy: Courtesy::default(),
            cached: Cached::default(),
            tls,
            clock,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// One beacon: a STUN exchange with every target in each family it has an address in, all at once, each on a
    /// fresh socket. Yields exits, round trips, and reasons where there is neither. Takes at most one budget.
    pub async fn beacon(&self, epoch: Epoch, targets: &[WitnessTarget], out: mpsc::Sender<Observation>) {
        exit::witnesses(&self.inner, targets, &self.report(epoch, out)).await;
    }

    /// A full round: everything but the beacons. Each observation is sent as soon as it exists. What beacons and the round
    /// itself met of unknown operators is asked about in the background, for the next one.
    pub async fn round(&self, epoch: Epoch, plan: &RoundPlan, out: mpsc::Sender<Observation>) {
        let inner = &*self.inner;
        let report = &self.report(epoch, out);
        let configured = resolver_config::run(inner, report).await;
        let servers = names::system(&configured);
        let system = &Servers::with_hosts_file(&servers, inner.budget);
        self.learn_operators(&servers);
        let now = Instant::now();
        let may_ask = |resolver: &&PublicResolver| inner.courtesy.may_ask(&resolver.name, now);
        let resolvers: &Vec<_> = &inner.resolvers.iter().filter(may_ask).collect();
        tokio::join!(
            local_facts_and_portal(inner, plan, &configured, system, report),
            self_leak::run(inner, report),
            underlay::run(inner, report),
            resolver_identity::run(inner, &configured, &plan.canary_zones, report),
            interception::run(inner, resolvers, &plan.canary_zones, report),
            answers::run(inner, system, resolvers, report),
            exit::public_stun(inner, system, report),
            https_echo::run(inner, system, report),
        );
        self.learn_operators(&servers);
    }

    fn learn_operators(&self, system: &[SocketAddr]) {
        let (ownership, budget, system) = (self.inner.ownership.clone(), self.inner.budget, system.to_vec());
        tokio::spawn(async move { ownership.learn(&system, budget).await });
    }

    /// Only what the machine itself knows: interfaces, resolver configuration, routes, connectivity; and whether a kill
    /// switch holds, where that may be tried. Nothing is sent beyond the first routers, and it takes a few milliseconds, so it is run at once when the network changes.
    pub async fn local(&self, epoch: Epoch, plan: &RoundPlan, out: mpsc::Sender<Observation>) {
        let report = &self.report(epoch, out);
        let configured = resolver_config::run(&self.inner, report).await;
        let facts = async {
            let connectivity = local_facts(&self.inner, plan, &configured, report).await;
            report.fact(Fact::Connectivity(connectivity)).await;
        };
        let ways_out = async {
            if plan.try_ways_out {
                self_leak::run(&self.inner, report).await;
            }
        };
        join(facts, ways_out).await;
    }

    /// For the tests of single checks.
    #[cfg(test)]
    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    fn report(&self, epoch: Epoch, out: mpsc::Sender<Observation>) -> Report {
        Report::new(epoch, self.inner.clock.clone(), out)
    }
}

/// Everything local, and whether a portal answers, where the plan asks that.
///
/// Connectivity is told once per round: what the kernel says first ("online": there is a way out) would take back a
/// portal found the round before, only to be taken back itself a moment later. So while a portal is asked for, its word
/// is the round's word, and where nothing answered at all none is given and the one before stands. Offline needs no
/// portal and is told at once.
async fn local_facts_and_portal(
    inner: &Inner,
    plan: &RoundPlan,
    configured: &[ConfiguredResolver],
    system: &System,
    report: &Report,
) {
    let local = local_facts(inner, plan, configured, report).await;
    let word = if local == Connectivity::Online && plan.ask_portal && portal::can_ask(inner) {
        portal::ask(inner, system).await
    } else {
        Some(local)
    };
    if let Some(word) = word {
        report.fact(Fact::Connectivity(word)).await;
    }
}

/// Reports interfaces and routes, and hands back what they say of connectivity.
async fn local_facts(
    inner: &Inner,
    plan: &RoundPlan,
    configured: &[ConfiguredResolver],
    report: &Report,
) -> Connectivity {
    let interfaces = async {
        let interfaces = inner.platform.interfaces().await;
        report.fact(Fact::Interfaces(interfaces.clone())).await;
        interfaces
    };
    let (interfaces, routes) = join(interfaces, routes::run(inner, plan, configured, report)).await;
    connectivity::judge(&interfaces, &routes)
}

fn parsed<'a, T>(
    services: impl Iterator<Item = &'a Service>,
    parse: impl Fn(&Service) -> Result<T, CheckError>,
) -> Result<Vec<T>, CheckError> {
    services.take(MAX_SERVICES).map(parse).collect()
}

fn domain_name(text: &str) -> Result<Name, CheckError> {
    names::parse(text).map_err(|cause| CheckError::Name { name: text.to_owned(), cause })
}

fn stun_server(service: &Service) -> Result<StunServer, CheckError> {
    let wrong = || wrong(service, "host:port");
    if let Some(address) = socket_address(&service.address, STUN_PORT) {
        let (host, port) = (Host::Address(address.ip()), address.port());
        return Ok(StunServer { name: service.name.clone(), host, port });
    }
    let (host, port) = match service.address.split_once(':') {
        Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
        None => (service.address.as_str(), STUN_PORT),
    };
    names::parse(host).map_err(|_| wrong())?;
    Ok(StunServer { name: service.name.clone(), host: Host::Name(host.to_owned()), port })
}

fn whoami_zone(service: &Service) -> Result<WhoamiZone, CheckError> {
    let (name, kind) = match service.address.strip_prefix("*.") {
        Some(zone) => (zone, WhoamiKind::Canary),
        None => (service.address.as_str(), WhoamiKind::Fixed),
    };
    names::parse(name).map_err(|_| wrong(service, "a domain name"))?;
    Ok(WhoamiZone { name: name.to_owned(), kind })
}

fn wrong(service: &Service, expected: &'static str) -> CheckError {
    CheckError::Service { name: service.name.clone(), address: service.address.clone(), expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_services_are_understood_in_every_form() {
        let stun =
            |address: &str| stun_server(&Service::new("s", address)).map(|server| (server.host, server.port));
        let name = Host::Name("stun.example".into());
        assert_eq!(stun("stun.example").unwrap(), (name.clone(), 3478));
        assert_eq!(stun("stun.example:19302").unwrap(), (name, 19302));
        assert_eq!(
            stun("[2001:db8::1]:3479").unwrap(),
            (Host::Address("2001:db8::1".parse().unwrap()), 3479)
        );
        assert_eq!(stun("2001:db8::1").unwrap(), (Host::Address("2001:db8::1".parse().unwrap()), 3478));
        assert!(stun("stun.example:port").is_err() && stun("").is_err());
        let whoami = |address: &str| whoami_zone(&Service::new("w", address)).unwrap();
        assert_eq!(
            whoami("*.who.example"),
            WhoamiZone { name: "who.example".into(), kind: WhoamiKind::Canary }
        );
        assert_eq!(whoami("me.example"), WhoamiZone { name: "me.example".into(), kind: WhoamiKind::Fixed });
    }

    #[test]
    fn every_built_in_service_can_be_used() {
        let services = crate::settings::Services { consent: true, ..Default::default() };
        assert!(parsed(services.allowed(&services.stun), stun_server).is_ok());
        assert!(parsed(services.allowed(&services.https_echo), EchoService::parse).is_ok());
        assert!(parsed(services.allowed(&services.whoami), whoami_zone).is_ok());
        assert!(services.allowed_resolvers().all(|resolver| PublicResolver::parse(resolver).is_ok()));
        assert!(Ownership::default().with_services(&services).is_ok());
        assert!(crate::settings::default_panel().iter().all(|name| domain_name(name).is_ok()));
    }
}
