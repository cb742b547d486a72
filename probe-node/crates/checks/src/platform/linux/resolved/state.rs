//! What systemd-resolved would do with a query, from the properties it exports over D-Bus.

use crate::platform::linux::{bus::Properties, resolv_conf::LOCAL_LISTENERS};
use sentinel_model::{ConfiguredResolver, ResolverRole};
use std::{collections::BTreeMap, net::IpAddr};
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

/// A group of servers that systemd-resolved asks together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// The servers of `resolved.conf` and of a foreign `resolv.conf`.
    Global,
    /// The servers of the link with this index.
    Link(i32),
    /// The servers of a delegate (systemd.dns-delegate(5)), which belong to no link.
    Delegate(String),
}

/// What systemd-resolved would do with a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResolvedState {
    /// Its servers in its order, each with its scope.
    pub(super) servers: Vec<(Scope, IpAddr)>,
    /// The servers used if no others are asked for every name.
    fallback_servers: Vec<IpAddr>,
    /// What decides whether the fallback servers are used.
    fallback_use: FallbackUse,
    /// The scopes with the routing domain `~.`, which matches every name.
    catch_all: Vec<Scope>,
    /// The links with servers; links that could not be read are missing.
    pub(super) links: BTreeMap<i32, ResolvedLink>,
    /// The delegates that are asked for names that no domain matches.
    default_delegates: Vec<String>,
    /// Whether it is in another network namespace, so that its links are not this machine's.
    pub(super) is_elsewhere: bool,
    /// Whether it listens on 127.0.0.53.
    pub(super) has_listener: bool,
}

/// When fallback servers are used where links have servers, but none is a default route.
///
/// Up to version 256 they are not, and names that no domain matches do not resolve. Later versions
/// use them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum FallbackUse {
    /// The version is undetermined.
    #[default]
    Assumed,
    /// It uses one, or is of a version that would.
    Seen,
    /// It uses none at the moment.
    NotSeen,
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
        let default_route = read_bool(properties, "DefaultRoute");
        Self {
            has_dns_scope: scopes.is_none_or(|scopes| scopes & DNS_SCOPE != 0),
            // Before version 240, systemd has no such property and asks every link.
            default_route: default_route.unwrap_or(true),
        }
    }
}

/// Servers for some domains, which belong to no link.
#[derive(Debug)]
pub(super) struct Delegate {
    id: String,
    servers: Vec<IpAddr>,
    is_catch_all: bool,
    is_default_route: bool,
}

impl Delegate {
    /// Reads the properties of a delegate.
    pub(super) fn from_properties(id: String, properties: &Properties) -> Self {
        let servers = rows(properties.get("DNS")).filter_map(|row| match row {
            [Value::I32(_), Value::I32(_), address, ..] => parse_address(address),
            _ => None,
        });
        let is_catch_all = rows(properties.get("Domains"))
            .any(|row| matches!(row, [Value::Str(domain), Value::Bool(_)] if is_root(domain)));
        let is_default_route = read_bool(properties, "DefaultRoute").unwrap_or(false);
        Self { id, servers: servers.collect(), is_catch_all, is_default_route }
    }
}

impl ResolvedState {
    /// Reads the properties of the manager; links and delegates are left to be added.
    pub(super) fn from_manager(manager: &Properties) -> Self {
        let servers = rows(manager.get("DNS")).filter_map(|row| match row {
            [Value::I32(link), Value::I32(_), address, ..] => {
                Some((scope_of(*link), parse_address(address)?))
            }
            _ => None,
        });
        let fallback_servers = rows(manager.get("FallbackDNS")).filter_map(|row| match row {
            [Value::I32(_), Value::I32(_), address, ..] => parse_address(address),
            _ => None,
        });
        let catch_all = rows(manager.get("Domains")).filter_map(|row| match row {
            [Value::I32(link), Value::Str(domain), Value::Bool(_)] => {
                is_root(domain).then_some(scope_of(*link))
            }
            _ => None,
        });
        // It never asks its own listener.
        let mut servers: Vec<_> = servers.filter(|(_, address)| !LOCAL_LISTENERS.contains(address)).collect();
        let mut catch_all: Vec<_> = catch_all.collect();
        // The links come in the order of a hash table. Within a link, the order is the user's, so
        // this sort must be stable.
        servers.sort_by(|(a, _), (b, _)| a.cmp(b));
        catch_all.sort();
        let fallback_servers: Vec<IpAddr> = fallback_servers.collect();
        // Otherwise it says nothing, and may change at any time.
        let is_telling = !servers.is_empty() && servers.iter().all(|(scope, _)| *scope != Scope::Global);
        let fallback_use =
            if is_telling { read_fallback_use(manager, &fallback_servers) } else { FallbackUse::Assumed };
        let has_listener = manager
            .get("DNSStubListener")
            .and_then(|value| value.downcast_ref::<&str>().ok())
            .is_some_and(|mode| mode != "no");
        Self { servers, fallback_servers, fallback_use, catch_all, has_listener, ..Self::default() }
    }

    /// Adds the delegates; `None` if this version has none.
    pub(super) fn add_delegates(&mut self, delegates: Option<Vec<Delegate>>) {
        let Some(mut delegates) = delegates else { return };
        self.fallback_use = FallbackUse::Seen;
        delegates.sort_by(|a, b| a.id.cmp(&b.id));
        for delegate in delegates {
            let scope = Scope::Delegate(delegate.id.clone());
            self.servers.extend(delegate.servers.into_iter().map(|address| (scope.clone(), address)));
            if delegate.is_catch_all {
                self.catch_all.push(scope);
            }
            if delegate.is_default_route {
                self.default_delegates.push(delegate.id);
            }
        }
    }

    /// Returns the indices of the links that have servers.
    pub(super) fn links_with_servers(&self) -> Vec<i32> {
        let links = self.servers.iter().filter_map(|(scope, _)| match scope {
            Scope::Link(index) => Some(*index),
            Scope::Global | Scope::Delegate(_) => None,
        });
        let mut links: Vec<i32> = links.collect();
        links.sort_unstable();
        links.dedup();
        links.truncate(MAX_LINKS);
        links
    }

    /// Returns the role of a scope's servers for names that no domain matches.
    ///
    /// According to systemd-resolved.service(8), "Protocols and routing":
    /// - If there are scopes with the domain `~.`, only their servers are asked.
    /// - Otherwise, the global servers, and those of every link and delegate that is a default
    ///   route, are asked in parallel.
    ///
    /// `Unspecified` for a link that could not be read.
    fn role_of(&self, scope: &Scope) -> ResolverRole {
        let asked = match self.is_used(scope) {
            None => return ResolverRole::Unspecified,
            Some(false) => false,
            Some(true) if self.has_catch_all() => self.is_catch_all(scope),
            Some(true) => self.is_default_route(scope),
        };
        if asked { ResolverRole::Forwarded } else { ResolverRole::Scoped }
    }

    /// Returns true if the scope's servers are asked at all; `None` if its link could not be read.
    fn is_used(&self, scope: &Scope) -> Option<bool> {
        match scope {
            Scope::Link(index) => Some(self.links.get(index)?.has_dns_scope),
            Scope::Global | Scope::Delegate(_) => Some(true),
        }
    }

    /// Returns true if a scope takes every name.
    fn has_catch_all(&self) -> bool {
        self.catch_all.iter().any(|scope| self.is_catch_all(scope) && self.is_used(scope) == Some(true))
    }

    /// Returns true if the scope has the domain `~.` and a server to apply it to.
    fn is_catch_all(&self, scope: &Scope) -> bool {
        self.catch_all.contains(scope) && self.servers.iter().any(|(of, _)| of == scope)
    }

    fn is_default_route(&self, scope: &Scope) -> bool {
        match scope {
            Scope::Global => true,
            Scope::Link(index) => self.links.get(index).is_some_and(|link| link.default_route),
            Scope::Delegate(id) => self.default_delegates.contains(id),
        }
    }

    /// Returns true if the fallback servers are asked.
    ///
    /// That is so if no other server is asked for names that no domain matches, unless this version
    /// demonstrably needs that there be no other server at all.
    fn uses_fallback(&self) -> bool {
        let is_asked = |role: ResolverRole| role.gets_all_names() || role == ResolverRole::Unspecified;
        let has_link = self.servers.iter().any(|(scope, _)| matches!(scope, Scope::Link(_)));
        let is_unused = has_link && self.fallback_use == FallbackUse::NotSeen;
        !is_unused && !self.servers.iter().any(|(scope, _)| is_asked(self.role_of(scope)))
    }

    /// Lists the servers, those asked for every name first.
    ///
    /// `name_of` returns an interface's name by its index. A link without a name belongs to another
    /// network namespace, and the role of its servers is unknown. If systemd-resolved itself is in
    /// another one, no link is this machine's.
    pub(crate) fn list_resolvers(&self, name_of: impl Fn(u32) -> Option<String>) -> Vec<ConfiguredResolver> {
        let mut resolvers = Vec::new();
        for (scope, address) in &self.servers {
            let name = match scope {
                Scope::Link(index) => u32::try_from(*index).ok().and_then(&name_of),
                Scope::Global | Scope::Delegate(_) => None,
            };
            let (interface, role) = match name {
                _ if self.is_elsewhere => (None, self.role_of(scope)),
                None if matches!(scope, Scope::Link(_)) => (None, ResolverRole::Unspecified),
                name => (name, self.role_of(scope)),
            };
            resolvers.push(ConfiguredResolver { address: *address, interface, role });
        }
        if self.uses_fallback() {
            resolvers.extend(self.fallback_servers.iter().map(|address| ConfiguredResolver {
                address: *address,
                interface: None,
                role: ResolverRole::Forwarded,
            }));
        }
        if self.is_elsewhere {
            for resolver in &mut resolvers {
                if resolver.role == ResolverRole::Forwarded {
                    resolver.role = ResolverRole::ForwardedElsewhere;
                }
            }
        }
        resolvers.sort_by_key(|resolver| !resolver.role.gets_all_names());
        resolvers.truncate(MAX_RESOLVERS);
        resolvers
    }
}

/// Reads whether a fallback server is in use; a manager without the property is of an unknown
/// version.
fn read_fallback_use(manager: &Properties, fallback_servers: &[IpAddr]) -> FallbackUse {
    let current = match manager.get("CurrentDNSServer").map(|value| &**value) {
        Some(Value::Structure(current)) => current.fields(),
        _ => return FallbackUse::Assumed,
    };
    match current {
        [Value::I32(_), Value::I32(_), address, ..]
            if parse_address(address).is_some_and(|current| fallback_servers.contains(&current)) =>
        {
            FallbackUse::Seen
        }
        _ => FallbackUse::NotSeen,
    }
}

fn scope_of(link: i32) -> Scope {
    if link == GLOBAL { Scope::Global } else { Scope::Link(link) }
}

/// Returns true for the root domain, which every name is below.
fn is_root(domain: &str) -> bool {
    matches!(domain, "." | "")
}

fn read_bool(properties: &Properties, name: &str) -> Option<bool> {
    properties.get(name).and_then(|value| value.downcast_ref::<bool>().ok())
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
