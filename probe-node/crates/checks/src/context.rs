//! What every check may use: the parsed settings, the clients, and what earlier rounds learned.

use crate::{
    checks::exit::voice_routes::VoiceRoutes,
    dns::{name, past_answers::PastAnswers},
    error::CheckError,
    own_lookups::OwnResolver,
    ownership::Ownership,
    platform::Platform,
    protocols::{http::HttpClients, tls::Tls},
    rate_limit::RateLimiter,
    services::{
        echo::EchoService, portal::PortalPage, public_resolver::PublicResolver, stun_server::StunServer,
        whoami_zone,
    },
    settings::{PastTunnel, Settings, WhoamiKind, WhoamiZone},
};
use hickory_resolver::proto::rr::Name;
use ipnet::IpNet;
use sentinel_model::{Attributed, Clock};
use std::{
    net::IpAddr,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

/// The most names of the panel that are compared.
const MAX_PANEL: usize = 16;
/// The most services of one kind; more would add no independent voices.
const MAX_SERVICES: usize = 16;
/// The most zones asked: two can contradict each other and a third decides.
pub(crate) const MAX_ZONES: usize = 3;

/// What every check may use. It contains only services that the user consented to.
pub(crate) struct Context {
    /// Time limit of one check.
    pub(crate) budget: Duration,
    pub(crate) stun_servers: Vec<StunServer>,
    pub(crate) echo_services: Vec<EchoService>,
    /// Counts the rounds, so that the echo services take turns.
    pub(crate) echo_round: AtomicUsize,
    /// `None` if no service needs it: the system's certificates would only take memory.
    pub(crate) http: Option<HttpClients>,
    pub(crate) portal_pages: Vec<PortalPage>,
    pub(crate) public_whoami: Vec<WhoamiZone>,
    pub(crate) public_resolvers: Vec<PublicResolver>,
    pub(crate) panel: Vec<Name>,
    pub(crate) whoami_zones: Vec<WhoamiZone>,
    pub(crate) spread: Vec<IpAddr>,
    pub(crate) past_tunnel: PastTunnel,
    pub(crate) endpoint: Option<IpAddr>,
    pub(crate) excluded: Vec<IpNet>,
    pub(crate) bogons: Vec<IpNet>,
    pub(crate) platform: Arc<dyn Platform>,
    pub(crate) ownership: Ownership,
    pub(crate) resolver: OwnResolver,
    pub(crate) rate_limiter: RateLimiter,
    pub(crate) past_answers: PastAnswers,
    pub(crate) voice_routes: VoiceRoutes,
    pub(crate) tls: Tls,
    pub(crate) clock: Clock,
}

impl Context {
    /// Parses the settings once, so that a bad address or name is an error here and not in a round.
    pub(crate) fn new(
        settings: Settings,
        platform: Arc<dyn Platform>,
        ownership: Ownership,
        resolver: OwnResolver,
        clock: Clock,
    ) -> Result<Self, CheckError> {
        let services = &settings.services;
        let budget = settings.timeout.duration();
        for zone in &settings.whoami_zones {
            domain_name(&zone.name)?;
        }
        let tls = Tls::default();
        let echo_services: Vec<EchoService> =
            parse_all(services.allowed(&services.https_echo), EchoService::parse)?;
        let portal_pages: Vec<PortalPage> = parse_all(services.allowed_portals(), PortalPage::parse)?;
        let needs_http = !echo_services.is_empty() || !portal_pages.is_empty();
        Ok(Self {
            budget,
            stun_servers: parse_all(services.allowed(&services.stun), StunServer::parse)?,
            http: needs_http.then(|| HttpClients::new(budget, &tls)).transpose()?,
            echo_services,
            echo_round: AtomicUsize::new(0),
            portal_pages,
            public_whoami: parse_all(services.allowed(&services.whoami), whoami_zone::parse)?,
            public_resolvers: parse_all(services.allowed_resolvers(), PublicResolver::parse)?,
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
            resolver,
            rate_limiter: RateLimiter::default(),
            past_answers: PastAnswers::default(),
            voice_routes: VoiceRoutes::default(),
            tls,
            clock,
        })
    }

    /// Returns the user's own zones: those of the nodes, then those of the settings.
    pub(crate) fn own_zones(&self, canary_zones: &[String]) -> Vec<WhoamiZone> {
        let canaries =
            canary_zones.iter().map(|zone| WhoamiZone { name: zone.clone(), kind: WhoamiKind::Canary });
        canaries.chain(self.whoami_zones.iter().cloned()).take(MAX_ZONES).collect()
    }

    /// Returns the time limit of each of several consecutive attempts, which share one budget.
    ///
    /// A canary zone whose node is down must not delay the round.
    pub(crate) fn share(&self, attempts: usize) -> Duration {
        self.budget / u32::try_from(attempts.max(1)).unwrap_or(u32::MAX)
    }

    /// Adds the operators, as far as they are known, to these addresses.
    pub(crate) fn attribute_all(&self, addresses: Vec<IpAddr>) -> Vec<Attributed> {
        addresses.into_iter().map(|address| self.ownership.attribute(address)).collect()
    }
}

fn parse_all<'a, S: 'a, T>(
    services: impl Iterator<Item = &'a S>,
    parse: impl Fn(&S) -> Result<T, CheckError>,
) -> Result<Vec<T>, CheckError> {
    services.take(MAX_SERVICES).map(parse).collect()
}

fn domain_name(text: &str) -> Result<Name, CheckError> {
    name::parse(text).map_err(|cause| CheckError::Name { name: text.to_owned(), cause })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Services, default_panel};

    #[test]
    fn every_built_in_service_can_be_used() {
        let services = Services { consent: true, ..Services::default() };
        assert!(parse_all(services.allowed(&services.stun), StunServer::parse).is_ok());
        assert!(parse_all(services.allowed(&services.https_echo), EchoService::parse).is_ok());
        assert!(parse_all(services.allowed(&services.whoami), whoami_zone::parse).is_ok());
        assert!(services.allowed_resolvers().all(|resolver| PublicResolver::parse(resolver).is_ok()));
        assert!(services.allowed_portals().all(|portal| PortalPage::parse(portal).is_ok()));
        assert!(Ownership::default().with_services(&services).is_ok());
        assert!(default_panel().iter().all(|name| domain_name(name).is_ok()));
    }
}
