//! Which third-party services may be asked.

use sentinel_checks::{PortalService, ResolverService};
use serde::Deserialize;

/// `[services]`: third-party services. None is contacted unless `consent` is true.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServicesConfig {
    /// True if public services may be asked at all.
    pub consent: bool,
    /// True if the built-in services are not used, so that only the entries below are asked.
    pub replace_defaults: bool,
    /// Names of built-in services that must not be asked.
    pub disabled: Vec<String>,
    /// STUN servers.
    pub stun: Vec<AddressService>,
    /// HTTPS services that answer with the caller's address.
    pub https_echo: Vec<UrlService>,
    /// Public resolvers.
    pub resolver: Vec<ResolverService>,
    /// Names whose authoritative servers answer with the address that asked.
    pub whoami: Vec<ZoneService>,
    /// Zones that publish who operates an address, in Team Cymru's format.
    pub ownership: Vec<ZoneService>,
    /// Services whose answer over plain HTTP reveals a captive portal.
    pub portal: Vec<PortalService>,
}

/// A service reached at an address, `host:port`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddressService {
    /// Its name in evidence and messages.
    pub name: String,
    /// Its address: `host:port`.
    pub address: String,
}

/// A service reached at a URL.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UrlService {
    /// Its name in evidence and messages.
    pub name: String,
    /// Its URL.
    pub url: String,
}

/// A DNS zone that answers questions about addresses.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZoneService {
    /// Its name in evidence and messages.
    pub name: String,
    /// The name or zone to ask.
    ///
    /// - Under `whoami`: the name to ask, or `*.zone` if every name under the zone is answered;
    ///   then a name never used before is asked.
    /// - Under `ownership`: the zone.
    pub zone: String,
}
