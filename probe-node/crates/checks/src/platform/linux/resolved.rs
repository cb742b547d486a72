//! systemd-resolved's own state, over D-Bus (org.freedesktop.resolve1(5)): which servers it has, per link, and which of
//! them it asks for ordinary names. A question to a link's server leaves bound to that link, whatever the routes say,
//! so this is what tells whether names go past a tunnel on a desktop whose `resolv.conf` names only a listener on this
//! machine.

use super::resolv_conf::LOCAL_LISTENERS;
use futures::future::join_all;
use sentinel_model::{ConfiguredResolver, ResolverRole};
use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::timeout;
use zbus::{
    Connection, connection,
    names::InterfaceName,
    proxy::{self, CacheProperties, MethodFlags, Proxy},
    zvariant::{OwnedObjectPath, OwnedValue, Value},
};

/// It answers within a few milliseconds; a bus that does not is as good as absent, and must not hold up a check.
const BUDGET: Duration = Duration::from_millis(300);
/// More servers, and domains, than any configuration has in earnest.
const MAX_ROWS: usize = 256;
/// More links with servers than any machine has in earnest.
const MAX_LINKS: usize = 16;
/// More servers than are of any use to show.
const MAX_RESOLVERS: usize = 16;
/// The index that stands for no link in particular.
const GLOBAL: i32 = 0;
/// The bit of `ScopesMask` that says that a link takes part in unicast DNS.
const DNS_SCOPE: u64 = 1;

const SERVICE: &str = "org.freedesktop.resolve1";
const MANAGER_PATH: &str = "/org/freedesktop/resolve1";
const MANAGER: &str = "org.freedesktop.resolve1.Manager";
const LINK: &str = "org.freedesktop.resolve1.Link";

type Properties = HashMap<String, OwnedValue>;

/// What systemd-resolved would do with a question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// Its servers in its order, by the index of the link they belong to.
    servers: Vec<(i32, IpAddr)>,
    /// Those it turns to where it has no others.
    last_resort: Vec<IpAddr>,
    /// The links with the routing domain `~.`, which takes every name.
    takes_all: Vec<i32>,
    /// The links with servers; one that could not be read is not among them.
    links: BTreeMap<i32, Link>,
}

/// What matters of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Link {
    /// Whether it is asked at all: a link that is down is not.
    takes_part: bool,
    /// Whether it is asked for names that no link's domain matches.
    default_route: bool,
}

impl Link {
    fn of(properties: &Properties) -> Self {
        let scopes = properties.get("ScopesMask").and_then(|value| value.downcast_ref::<u64>().ok());
        let default_route =
            properties.get("DefaultRoute").and_then(|value| value.downcast_ref::<bool>().ok());
        Self {
            takes_part: scopes.is_none_or(|scopes| scopes & DNS_SCOPE != 0),
            // systemd before version 240 knows no such property, and asks every link.
            default_route: default_route.unwrap_or(true),
        }
    }
}

impl State {
    /// The part that the manager tells; the links are still to be asked.
    fn of(manager: &Properties) -> Self {
        let servers = rows(manager.get("DNS")).filter_map(|row| match row {
            [Value::I32(link), Value::I32(_), address] => Some((*link, parse_address(address)?)),
            _ => None,
        });
        let last_resort = rows(manager.get("FallbackDNS")).filter_map(|row| match row {
            [Value::I32(_), Value::I32(_), address] => parse_address(address),
            _ => None,
        });
        let takes_all = rows(manager.get("Domains")).filter_map(|row| match row {
            [Value::I32(link), Value::Str(domain), Value::Bool(_)] => {
                matches!(domain.as_str(), "." | "").then_some(*link)
            }
            _ => None,
        });
        // It never asks itself.
        let mut servers: Vec<_> = servers.filter(|(_, address)| !LOCAL_LISTENERS.contains(address)).collect();
        let mut takes_all: Vec<_> = takes_all.collect();
        // The order of links is that of a hash table; the order within one is the user's.
        servers.sort_by_key(|(link, _)| *link);
        takes_all.sort_unstable();
        Self { servers, last_resort: last_resort.collect(), takes_all, links: BTreeMap::new() }
    }

    /// The links that have servers.
    fn with_servers(&self) -> Vec<i32> {
        let mut links: Vec<i32> =
            self.servers.iter().map(|(link, _)| *link).filter(|link| *link != GLOBAL).collect();
        links.sort_unstable();
        links.dedup();
        links.truncate(MAX_LINKS);
        links
    }

    /// Whether a link's servers get the names that no link's domain matches (systemd-resolved.service(8), "Protocols
    /// and routing"): where there are links with `~.`, only theirs; else the global ones and, at once with them, those
    /// of every link that is a default route. Unknown for a link that could not be read.
    fn role(&self, link: i32) -> ResolverRole {
        let part =
            |link: i32| if link == GLOBAL { Some(true) } else { Some(self.links.get(&link)?.takes_part) };
        let takes_all =
            |link: i32| self.takes_all.contains(&link) && self.servers.iter().any(|(of, _)| *of == link);
        let exclusive = self.takes_all.iter().any(|link| takes_all(*link) && part(*link) == Some(true));
        let asked = match part(link) {
            None => return ResolverRole::Unspecified,
            Some(false) => false,
            Some(true) if exclusive => takes_all(link),
            Some(true) => link == GLOBAL || self.links.get(&link).is_some_and(|link| link.default_route),
        };
        if asked { ResolverRole::Forwarded } else { ResolverRole::Scoped }
    }

    /// The servers as a list, those asked for every name first. `name_of` gives an interface's name by its index; a
    /// link without one is not of this network namespace.
    pub(super) fn resolvers(&self, name_of: impl Fn(u32) -> Option<String>) -> Vec<ConfiguredResolver> {
        let mut found = Vec::new();
        for (link, address) in &self.servers {
            let name = u32::try_from(*link).ok().filter(|index| *index != 0).and_then(&name_of);
            let (interface, role) = match name {
                None if *link != GLOBAL => (None, ResolverRole::Unspecified),
                name => (name, self.role(*link)),
            };
            found.push(ConfiguredResolver { address: *address, interface, role });
        }
        if self.servers.is_empty() {
            found.extend(self.last_resort.iter().map(|address| ConfiguredResolver {
                address: *address,
                interface: None,
                role: ResolverRole::Forwarded,
            }));
        }
        found.sort_by_key(|resolver| !resolver.role.gets_all_names());
        found.truncate(MAX_RESOLVERS);
        found
    }
}

/// The fields of each structure in an array.
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

/// An address as its bytes.
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

/// Asks systemd-resolved. One connection to the bus is kept, and made anew after it failed.
#[derive(Debug)]
pub(super) struct Resolved {
    /// The bus; the system's, if absent.
    bus: Option<String>,
    connection: Mutex<Option<Connection>>,
}

impl Resolved {
    /// On this system's bus.
    pub(super) fn system() -> Self {
        Self { bus: None, connection: Mutex::new(None) }
    }

    /// On another bus.
    #[cfg(test)]
    fn at(bus: String) -> Self {
        Self { bus: Some(bus), connection: Mutex::new(None) }
    }

    /// What it would do with a question now; nothing where there is no bus, or no such service on it, or no answer in
    /// time. It is never started for this.
    pub(super) async fn state(&self) -> Option<State> {
        match timeout(BUDGET, self.ask()).await {
            Ok(Ok(state)) => return Some(state),
            // The bus itself answered.
            Ok(Err(error @ zbus::Error::MethodError(..))) => {
                tracing::debug!(%error, "systemd-resolved does not tell");
                return None;
            }
            Ok(Err(error)) => tracing::debug!(%error, "no systemd-resolved on the bus"),
            Err(_) => tracing::debug!("systemd-resolved did not answer in time"),
        }
        *self.kept() = None;
        None
    }

    async fn ask(&self) -> zbus::Result<State> {
        let bus = &self.connect().await?;
        let mut state = State::of(&properties(bus, MANAGER_PATH, MANAGER).await?);
        let links = join_all(state.with_servers().into_iter().map(|index| async move {
            // A link may be gone since.
            let link = link(bus, index).await;
            let link = link.inspect_err(|error| tracing::debug!(index, %error, "link not read"));
            Some((index, Link::of(&link.ok()?)))
        }));
        state.links = links.await.into_iter().flatten().collect();
        Ok(state)
    }

    async fn connect(&self) -> zbus::Result<Connection> {
        if let Some(kept) = self.kept().clone() {
            return Ok(kept);
        }
        let builder = match &self.bus {
            Some(address) => connection::Builder::address(address.as_str())?,
            None => connection::Builder::system()?,
        };
        let new = builder.build().await?;
        *self.kept() = Some(new.clone());
        Ok(new)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Option<Connection>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn link(bus: &Connection, index: i32) -> zbus::Result<Properties> {
    let manager = object(bus, MANAGER_PATH, MANAGER).await?;
    let path: Option<OwnedObjectPath> =
        manager.call_with_flags("GetLink", MethodFlags::NoAutoStart.into(), &index).await?;
    match path {
        Some(path) => properties(bus, path.as_str(), LINK).await,
        None => Ok(Properties::new()),
    }
}

async fn properties(bus: &Connection, path: &str, interface: &str) -> zbus::Result<Properties> {
    let object = object(bus, path, "org.freedesktop.DBus.Properties").await?;
    let interface = InterfaceName::try_from(interface)?;
    let all = object.call_with_flags("GetAll", MethodFlags::NoAutoStart.into(), &interface).await?;
    Ok(all.unwrap_or_default())
}

async fn object<'a>(bus: &Connection, path: &'a str, interface: &'a str) -> zbus::Result<Proxy<'a>> {
    proxy::Builder::new(bus)
        .destination(SERVICE)?
        .path(path)?
        .interface(interface)?
        .cache_properties(CacheProperties::No)
        .build()
        .await
}

#[cfg(test)]
mod tests;
