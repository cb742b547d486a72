//! What systemd-resolved would do with a query, from the properties it exports over D-Bus.

use crate::platform::linux::resolv_conf::LOCAL_LISTENERS;
use sentinel_model::{ConfiguredResolver, ResolverRole};
use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};
use zbus::zvariant::{OwnedValue, Value};

/// More servers, and domains, than any real configuration has.
const MAX_ROWS: usize = 256;
/// More links with servers than any real machine has.
const MAX_LINKS: usize = 16;
/// More servers than are useful to show.
const MAX_RESOLVERS: usize = 16;
/// The link index of global servers and domains, which belong to no link.
const GLOBAL: i32 = 0;
/// The bit of `ScopesMask` for a link that takes part in unicast DNS.
const DNS_SCOPE: u64 = 1;

/// The properties of a D-Bus object by name.
pub(super) type Properties = HashMap<String, OwnedValue>;

/// What systemd-resolved would do with a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResolvedState {
    /// Its servers in its order, each with the index of its link.
    pub(super) servers: Vec<(i32, IpAddr)>,
    /// The servers used if there are no others.
    fallback_servers: Vec<IpAddr>,
    /// The links with the routing domain `~.`, which matches every name.
    catch_all_links: Vec<i32>,
    /// The links with servers; links that could not be read are missing.
    pub(super) links: BTreeMap<i32, ResolvedLink>,
}

/// How systemd-resolved uses a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ResolvedLink {
    /// True if its servers are asked at all; false for a link that is down.
    has_dns_scope: bool,
    /// True if its servers are asked for names that no link's domain matches.
    default_route: bool,
}

impl ResolvedLink {
    /// Reads the properties of a link.
    pub(super) fn from_properties(properties: &Properties) -> Self {
        let scopes = properties.get("ScopesMask").and_then(|value| value.downcast_ref::<u64>().ok());
        let default_route =
            properties.get("DefaultRoute").and_then(|value| value.downcast_ref::<bool>().ok());
        Self {
            has_dns_scope: scopes.is_none_or(|scopes| scopes & DNS_SCOPE != 0),
            // Before version 240, systemd has no such property and asks every link.
            default_route: default_route.unwrap_or(true),
        }
    }
}

impl ResolvedState {
    /// Reads the properties of the manager; the links are left to be added.
    pub(super) fn from_manager(manager: &Properties) -> Self {
        let servers = rows(manager.get("DNS")).filter_map(|row| match row {
            [Value::I32(link), Value::I32(_), address] => Some((*link, parse_address(address)?)),
            _ => None,
        });
        let fallback_servers = rows(manager.get("FallbackDNS")).filter_map(|row| match row {
            [Value::I32(_), Value::I32(_), address] => parse_address(address),
            _ => None,
        });
        let catch_all_links = rows(manager.get("Domains")).filter_map(|row| match row {
            [Value::I32(link), Value::Str(domain), Value::Bool(_)] => {
                matches!(domain.as_str(), "." | "").then_some(*link)
            }
            _ => None,
        });
        // It never asks its own listener.
        let mut servers: Vec<_> = servers.filter(|(_, address)| !LOCAL_LISTENERS.contains(address)).collect();
        let mut catch_all_links: Vec<_> = catch_all_links.collect();
        // The links come in the order of a hash table. Within a link, the order is the user's, so
        // this sort must be stable.
        servers.sort_by_key(|(link, _)| *link);
        catch_all_links.sort_unstable();
        let fallback_servers = fallback_servers.collect();
        Self { servers, fallback_servers, catch_all_links, links: BTreeMap::new() }
    }

    /// Returns the indices of the links that have servers.
    pub(super) fn links_with_servers(&self) -> Vec<i32> {
        let mut links: Vec<i32> =
            self.servers.iter().map(|(link, _)| *link).filter(|link| *link != GLOBAL).collect();
        links.sort_unstable();
        links.dedup();
        links.truncate(MAX_LINKS);
        links
    }

    /// Returns the role of a link's servers for names that no link's domain matches.
    ///
    /// According to systemd-resolved.service(8), "Protocols and routing":
    /// - If there are links with the domain `~.`, only their servers are asked.
    /// - Otherwise, the global servers and those of every default-route link are asked in parallel.
    ///
    /// `Unspecified` for a link that could not be read.
    fn role_of(&self, link: i32) -> ResolverRole {
        let exclusive = self
            .catch_all_links
            .iter()
            .any(|link| self.is_catch_all(*link) && self.is_used(*link) == Some(true));
        let asked = match self.is_used(link) {
            None => return ResolverRole::Unspecified,
            Some(false) => false,
            Some(true) if exclusive => self.is_catch_all(link),
            Some(true) => link == GLOBAL || self.links.get(&link).is_some_and(|link| link.default_route),
        };
        if asked { ResolverRole::Forwarded } else { ResolverRole::Scoped }
    }

    /// Returns true if the link's servers are asked at all; `None` if the link could not be read.
    fn is_used(&self, link: i32) -> Option<bool> {
        if link == GLOBAL { Some(true) } else { Some(self.links.get(&link)?.has_dns_scope) }
    }

    /// Returns true if the link has the domain `~.` and a server to apply it to.
    fn is_catch_all(&self, link: i32) -> bool {
        self.catch_all_links.contains(&link) && self.servers.iter().any(|(of, _)| *of == link)
    }

    /// Lists the servers, those asked for every name first.
    ///
    /// `name_of` returns an interface's name by its index. A link without a name belongs to another
    /// network namespace, and the role of its servers is unknown.
    pub(crate) fn list_resolvers(&self, name_of: impl Fn(u32) -> Option<String>) -> Vec<ConfiguredResolver> {
        let mut resolvers = Vec::new();
        for (link, address) in &self.servers {
            let name = u32::try_from(*link).ok().filter(|index| *index != 0).and_then(&name_of);
            let (interface, role) = match name {
                None if *link != GLOBAL => (None, ResolverRole::Unspecified),
                name => (name, self.role_of(*link)),
            };
            resolvers.push(ConfiguredResolver { address: *address, interface, role });
        }
        if self.servers.is_empty() {
            resolvers.extend(self.fallback_servers.iter().map(|address| ConfiguredResolver {
                address: *address,
                interface: None,
                role: ResolverRole::Forwarded,
            }));
        }
        resolvers.sort_by_key(|resolver| !resolver.role.gets_all_names());
        resolvers.truncate(MAX_RESOLVERS);
        resolvers
    }
}

/// Returns the fields of each structure in an array.
fn rows(value: Option<&OwnedValue>) -> impl Iterator<Item = &[Value<'static>]> {
    let items = match value.map(|value| &**value) {
        Some(Value::Array(array)) => array.inner(),
        _ => &[],
    };
    items.iter().take(MAX_ROWS).filter_map(|item| match item {
        Value::Structure(structure) => Some(structure.fields()),
        _ => None,
    })
}

/// Parses an address from an array of its bytes.
fn parse_address(value: &Value<'_>) -> Option<IpAddr> {
    let Value::Array(bytes) = value else { return None };
    let bytes: Vec<u8> = bytes
        .inner()
        .iter()
        .map(|byte| match byte {
            Value::U8(byte) => Some(*byte),
            _ => None,
        })
        .collect::<Option<_>>()?;
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}
