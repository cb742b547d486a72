//! Asking resolvers: a list of servers, tried one after the other as the system's own resolver library does, with
//! nothing cached, no search domains, and a fresh socket for every question.

use hickory_resolver::{
    Hosts, Resolver,
    config::{
        ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
        ServerOrderingStrategy,
    },
    net::{DnsError, NetError},
    proto::{
        op::ResponseCode,
        rr::{Name, RData, Record, RecordType},
    },
};
use rustls::ClientConfig;
use sentinel_model::{ConfiguredResolver, DnsTransport, Family, Reason};
#[cfg(unix)]
use std::{fs::File, io::Read};
use std::{
    net::{IpAddr, SocketAddr, SocketAddrV6},
    sync::Arc,
    time::Duration,
};
use tokio::time::timeout;

use crate::{
    link_local::{self, OnLink},
    public_resolver::PublicResolver,
    reason,
    tls::{self, Tls},
};

/// The C library uses three servers of its configuration and no more.
const MAX_SERVERS: usize = 3;
/// The port of DNS.
pub(crate) const PORT: u16 = 53;
/// More addresses than any name of interest has.
const MAX_ADDRESSES: usize = 64;

/// Why there is no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoRecord {
    /// The name, or the record, does not exist: an answer in its own right.
    Nonexistent,
    /// Nobody could tell.
    Because(Reason),
}

impl From<NoRecord> for Reason {
    fn from(none: NoRecord) -> Self {
        match none {
            NoRecord::Nonexistent => Self::Malformed("no such name".into()),
            NoRecord::Because(reason) => reason,
        }
    }
}

/// A domain name, fully qualified, so that no search domain is ever appended.
pub(crate) fn parse(text: &str) -> Result<Name, String> {
    let mut name = Name::from_ascii(text).map_err(|error| error.to_string())?;
    if name.iter().next().is_none() {
        return Err("it is empty".into());
    }
    name.set_fqdn(true);
    Ok(name)
}

/// The servers applications' resolver library asks, in its order; never those behind a forwarder, which are not asked
/// by this machine's applications, nor necessarily by the same way.
pub(crate) fn system(configured: &[ConfiguredResolver]) -> Vec<SocketAddr> {
    let asked = configured.iter().filter(|resolver| resolver.role.asked_by_applications());
    asked.take(MAX_SERVERS).map(at).collect()
}

/// Where a server is asked.
pub(crate) fn at(resolver: &ConfiguredResolver) -> SocketAddr {
    match (resolver.address, resolver.interface.as_deref()) {
        (IpAddr::V6(address), Some(interface)) if address.is_unicast_link_local() => {
            // Without an index the question fails as one to an address that means nothing.
            let scope = link_local::index(interface).unwrap_or_default();
            SocketAddrV6::new(address, PORT, 0, scope).into()
        }
        (address, _) => SocketAddr::new(address, PORT),
    }
}

/// The system's own, for a whole round; or why there are none.
pub(crate) type System = Result<Servers, Reason>;

/// Servers that are tried one after the other.
pub(crate) struct Servers {
    chain: Vec<Resolver<OnLink>>,
    share: Duration,
    /// What it means that no connection came about: the resolver library does not say why.
    unconnected: Reason,
}

impl Servers {
    /// The servers alone.
    pub(crate) fn new(servers: &[SocketAddr], budget: Duration) -> Result<Self, Reason> {
        let count = u32::try_from(servers.len().max(1)).unwrap_or(u32::MAX);
        let share = budget / count;
        let chain = servers.iter().map(|server| {
            let scope = match server {
                SocketAddr::V4(_) => 0,
                SocketAddr::V6(server) => server.scope_id(),
            };
            let server = NameServerConfig::new(server.ip(), true, plain(server.port()));
            build(server, scope, tls::nobody()?, share)
        });
        Ok(Self { chain: chain.collect::<Result<_, _>>()?, share, unconnected: Reason::Unreachable })
    }

    /// The servers, after the system's hosts file, the way applications resolve. The file is read here, so one of these
    /// serves a whole round.
    pub(crate) fn with_hosts_file(servers: &[SocketAddr], budget: Duration) -> Result<Self, Reason> {
        let mut servers = Self::new(servers, budget)?;
        if let Some(first) = servers.chain.first_mut() {
            first.set_hosts(Arc::new(hosts_file()));
        }
        Ok(servers)
    }

    /// A public resolver, by one way; its certificate must be valid where the way has one.
    pub(crate) fn over(
        resolver: &PublicResolver,
        way: DnsTransport,
        tls: &Tls,
        budget: Duration,
    ) -> Result<Self, Reason> {
        let client = if way.is_authenticated() { tls.client()? } else { tls::nobody()? };
        let connections = resolver.connections(way);
        let server = NameServerConfig::new(resolver.address.ip(), true, connections);
        let unconnected = if way.is_authenticated() {
            Reason::Failed("no connection with a valid certificate came about".into())
        } else {
            Reason::Unreachable
        };
        Ok(Self { chain: vec![build(server, 0, client, budget)?], share: budget, unconnected })
    }

    /// The records of one type at a name. The next server is tried where the C library would: after no answer, and
    /// after one that says the server itself is unable or unwilling.
    pub(crate) async fn records(&self, name: &Name, kind: RecordType) -> Result<Vec<RData>, NoRecord> {
        Ok(self.lookup(name, kind).await?.into_iter().map(|record| record.data).collect())
    }

    /// The same with what belongs to each record, such as how long it may be kept.
    pub(crate) async fn lookup(&self, name: &Name, kind: RecordType) -> Result<Vec<Record>, NoRecord> {
        let mut last = NoRecord::Because(Reason::Failed("no resolver is configured".into()));
        for resolver in &self.chain {
            match timeout(self.share, resolver.lookup(name.clone(), kind)).await {
                Ok(Ok(lookup)) => {
                    let records = lookup.answers().iter().filter(|record| record.record_type() == kind);
                    return Ok(records.take(MAX_ADDRESSES).cloned().collect());
                }
                Ok(Err(error)) if error.is_no_records_found() => return Err(NoRecord::Nonexistent),
                Ok(Err(NetError::NoConnections)) => last = NoRecord::Because(self.unconnected.clone()),
                Ok(Err(error)) => last = NoRecord::Because(describe(&error)),
                Err(_) => last = NoRecord::Because(Reason::TimedOut),
            }
        }
        Err(last)
    }

    /// The addresses of a name in one family; empty if it has none there.
    pub(crate) async fn addresses(&self, name: &Name, family: Family) -> Result<Vec<IpAddr>, Reason> {
        Ok(self.find(name, family).await?.addresses)
    }

    /// Where a name leads in one family.
    pub(crate) async fn find(&self, name: &Name, family: Family) -> Result<Found, Reason> {
        let kind = match family {
            Family::V4 => RecordType::A,
            Family::V6 => RecordType::AAAA,
        };
        match self.lookup(name, kind).await {
            Ok(records) => {
                let canonical = records.first().map(|record| &record.name).filter(|owner| *owner != name);
                let canonical = canonical.cloned();
                let addresses = records.iter().filter_map(|record| record.data.ip_addr()).collect();
                Ok(Found { addresses, canonical })
            }
            Err(NoRecord::Nonexistent) => Ok(Found::default()),
            Err(NoRecord::Because(reason)) => Err(reason),
        }
    }
}

/// Where a name leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The addresses; none if there are none.
    pub(crate) addresses: Vec<IpAddr>,
    /// The end of the chain of aliases, where there is one.
    pub(crate) canonical: Option<Name>,
}

/// Plain DNS: over UDP, and over TCP where the answer does not fit.
pub(crate) fn plain(port: u16) -> Vec<ConnectionConfig> {
    [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|connection| at_port(connection, port)).to_vec()
}

/// The connection at another port than its usual one.
pub(crate) fn at_port(mut connection: ConnectionConfig, port: u16) -> ConnectionConfig {
    connection.port = port;
    connection
}

fn build(
    server: NameServerConfig,
    scope: u32,
    client: ClientConfig,
    share: Duration,
) -> Result<Resolver<OnLink>, Reason> {
    let config = ResolverConfig::from_name_servers(vec![server]);
    let mut builder = Resolver::builder_with_config(config, OnLink::new(scope));
    *builder.options_mut() = options(share);
    builder
        .with_tls_config(client)
        .build()
        .map_err(|error| Reason::Failed(format!("could not make a resolver: {error}")))
}

fn options(share: Duration) -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.cache_size = 0;
    options.attempts = 1; // one more after the first, each with half the share
    options.timeout = share / 2;
    options.num_concurrent_reqs = 1;
    options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
    options.use_hosts_file = ResolveHosts::Never;
    options
}

/// The system's hosts file, as far as it may be of interest: lists that block advertisements are put into it by the
/// megabyte, behind what the system itself needs.
#[cfg(unix)]
fn hosts_file() -> Hosts {
    const PATH: &str = "/etc/hosts";
    const MAX_BYTES: u64 = 64 * 1024;
    let mut hosts = Hosts::default();
    let read = File::open(PATH).and_then(|file| hosts.read_hosts_conf(file.take(MAX_BYTES)));
    if let Err(error) = read {
        tracing::debug!(%error, "{PATH} could not be read");
    }
    hosts
}

/// The system's hosts file.
#[cfg(not(unix))]
fn hosts_file() -> Hosts {
    Hosts::from_system().unwrap_or_default()
}

fn describe(error: &NetError) -> Reason {
    match error {
        NetError::Timeout => Reason::TimedOut,
        NetError::Io(error) => reason::of_io(error),
        NetError::NoConnections => Reason::Unreachable,
        NetError::Dns(DnsError::ResponseCode(code)) => match code {
            ResponseCode::FormErr => Reason::Malformed(format!("the resolver answered {code}")),
            _ => Reason::Refused(format!("the resolver answered {code}")),
        },
        NetError::Proto(error) => Reason::Malformed(error.to_string()),
        error => Reason::Failed(error.to_string()),
    }
}
