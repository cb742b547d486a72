//! A stub resolver: servers that are asked one after the other, as the C library does, or a service
//! of this machine that programs ask in place of them.
//!
//! Nothing is cached, no search domain is appended, and every question uses a fresh socket.

use crate::{
    dns::{
        link_local::{self, OnLink},
        lookup_error::LookupError,
        name::DNS_PORT,
    },
    platform::{NameService, NameServiceError},
    protocols::tls,
    reason,
};
use hickory_resolver::{
    Hosts, Resolver,
    config::{
        ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
        ServerOrderingStrategy,
    },
    net::{DnsError, NetError},
    proto::{
        op::{Query, ResponseCode},
        rr::{Name, RData, Record, RecordType},
        serialize::binary::BinDecodable,
    },
};
use rustls::ClientConfig;
use sentinel_model::{ConfiguredResolver, Family, Reason};
#[cfg(unix)]
use std::{
    fs::{self, File},
    io::{self, Read},
};
use std::{
    net::{IpAddr, SocketAddr, SocketAddrV6},
    sync::Arc,
    time::Duration,
};
use tokio::time::timeout;

/// The C library uses the first three servers of its configuration.
pub(crate) const MAX_SERVERS: usize = 3;
/// The most records taken from one answer.
const MAX_RECORDS: usize = 64;

/// Returns the servers that applications ask, in the order in which the C library asks them.
///
/// Servers behind a forwarder are left out: applications do not ask them, and the forwarder may
/// use a different path.
pub(crate) fn system_servers(configured: &[ConfiguredResolver]) -> Vec<SocketAddr> {
    let asked = configured.iter().filter(|resolver| resolver.role.asked_by_applications());
    asked.take(MAX_SERVERS).map(server_address).collect()
}

/// Returns the socket address of a configured resolver, with its link where it is link-local.
pub(crate) fn server_address(resolver: &ConfiguredResolver) -> SocketAddr {
    match (resolver.address, resolver.interface.as_deref()) {
        (IpAddr::V6(address), Some(interface)) if address.is_unicast_link_local() => {
            // Without an index, the question fails like one to any unreachable address.
            let scope = link_local::interface_index(interface).unwrap_or_default();
            SocketAddrV6::new(address, DNS_PORT, 0, scope).into()
        }
        (address, _) => SocketAddr::new(address, DNS_PORT),
    }
}

/// What applications ask for a name.
#[derive(Clone, Default)]
pub(crate) struct SystemResolver {
    /// The servers that they ask, or that some ask on their own where there is a service.
    pub(crate) servers: Vec<SocketAddr>,
    /// The service that the C library asks in place of the servers.
    pub(crate) service: Option<Arc<dyn NameService>>,
}

impl SystemResolver {
    /// Returns true if what answers first is on this machine, so that its cache outlives a network.
    pub(crate) fn is_local(&self) -> bool {
        self.service.is_some() || self.servers.first().is_some_and(|server| server.ip().is_loopback())
    }

    /// Creates a stub that asks as applications do.
    pub(crate) fn stub(&self, budget: Duration) -> Result<StubResolver, Reason> {
        match &self.service {
            Some(service) => Ok(StubResolver::of_service(Arc::clone(service), budget)),
            None => StubResolver::new(&self.servers, budget),
        }
    }

    /// Creates a stub that looks into the system's hosts file before asking, as applications do.
    ///
    /// The file is read here, so one stub serves a whole round.
    pub(crate) fn stub_with_hosts_file(&self, budget: Duration) -> Result<StubResolver, Reason> {
        Ok(StubResolver { hosts: Some(hosts_file()), ..self.stub(budget)? })
    }
}

/// The system's resolver as used for a whole round, or why it cannot be used.
pub(crate) type SystemStub = Result<StubResolver, Reason>;

/// A service, or servers that are asked one after the other until one answers.
pub(crate) struct StubResolver {
    servers: Vec<Resolver<OnLink>>,
    /// Asked in place of the servers.
    service: Option<Arc<dyn NameService>>,
    /// Names that are not asked for.
    hosts: Option<Hosts>,
    /// Time limit of each server.
    share: Duration,
    /// The reason for a failed connection, because the resolver library does not report one.
    unconnected: Reason,
}

/// The addresses of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NameAddresses {
    /// The addresses; empty if the name has none.
    pub(crate) addresses: Vec<IpAddr>,
    /// The last name of the chain of aliases, where there is one.
    pub(crate) canonical: Option<Name>,
}

impl StubResolver {
    /// Creates a stub that asks these servers over plain DNS. They share the budget equally.
    pub(crate) fn new(servers: &[SocketAddr], budget: Duration) -> Result<Self, Reason> {
        let count = u32::try_from(servers.len().max(1)).unwrap_or(u32::MAX);
        let share = budget / count;
        let servers = servers.iter().map(|server| {
            let scope = match server {
                SocketAddr::V4(_) => 0,
                SocketAddr::V6(server) => server.scope_id(),
            };
            let server = NameServerConfig::new(server.ip(), true, plain_connections(server.port()));
            build(server, scope, tls::client_trusting_nobody()?, share)
        });
        let servers = servers.collect::<Result<_, _>>()?;
        Ok(Self { servers, service: None, hosts: None, share, unconnected: Reason::Unreachable })
    }

    /// Creates a stub that asks a service of this machine.
    fn of_service(service: Arc<dyn NameService>, budget: Duration) -> Self {
        let (servers, service) = (Vec::new(), Some(service));
        Self { servers, service, hosts: None, share: budget, unconnected: Reason::Unreachable }
    }

    /// Creates a stub that asks one server; `unconnected` is the reason for a failed connection.
    pub(crate) fn of_one(
        server: NameServerConfig,
        client: ClientConfig,
        unconnected: Reason,
        budget: Duration,
    ) -> Result<Self, Reason> {
        let servers = vec![build(server, 0, client, budget)?];
        Ok(Self { servers, service: None, hosts: None, share: budget, unconnected })
    }

    /// Looks up the records of one type, with their names and TTLs.
    ///
    /// The next server is asked where the C library would do so: after no answer, and after an
    /// answer that the server is unable or unwilling.
    pub(crate) async fn lookup(&self, name: &Name, kind: RecordType) -> Result<Vec<Record>, LookupError> {
        if let Some(records) = self.find_host(name, kind) {
            return Ok(records);
        }
        if let Some(service) = &self.service {
            return ask_service(&**service, name, kind, self.share).await;
        }
        let mut last = LookupError::Undetermined(Reason::Failed("no resolver is configured".into()));
        for server in &self.servers {
            match timeout(self.share, server.lookup(name.clone(), kind)).await {
                Ok(Ok(lookup)) => {
                    let records = lookup.answers().iter().filter(|record| record.record_type() == kind);
                    return Ok(records.take(MAX_RECORDS).cloned().collect());
                }
                Ok(Err(error)) if error.is_no_records_found() => return Err(LookupError::Nonexistent),
                Ok(Err(NetError::NoConnections)) => {
                    last = LookupError::Undetermined(self.unconnected.clone());
                }
                Ok(Err(error)) => last = LookupError::Undetermined(describe(&error)),
                Err(_) => last = LookupError::Undetermined(Reason::TimedOut),
            }
        }
        Err(last)
    }

    /// Returns the records of a name in the hosts file, if it is there.
    fn find_host(&self, name: &Name, kind: RecordType) -> Option<Vec<Record>> {
        let found = self.hosts.as_ref()?.lookup_static_host(&Query::query(name.clone(), kind))?;
        Some(found.answers().iter().take(MAX_RECORDS).cloned().collect())
    }

    /// Looks up the data of the records of one type.
    pub(crate) async fn records(&self, name: &Name, kind: RecordType) -> Result<Vec<RData>, LookupError> {
        Ok(self.lookup(name, kind).await?.into_iter().map(|record| record.data).collect())
    }

    /// Looks up the addresses of a name in one family; a name that does not exist has none.
    pub(crate) async fn addresses(&self, name: &Name, family: Family) -> Result<NameAddresses, Reason> {
        let kind = match family {
            Family::V4 => RecordType::A,
            Family::V6 => RecordType::AAAA,
        };
        match self.lookup(name, kind).await {
            Ok(records) => {
                let canonical = records.first().map(|record| &record.name).filter(|owner| *owner != name);
                let canonical = canonical.cloned();
                let addresses = records.iter().filter_map(|record| record.data.ip_addr()).collect();
                Ok(NameAddresses { addresses, canonical })
            }
            Err(LookupError::Nonexistent) => Ok(NameAddresses::default()),
            Err(LookupError::Undetermined(reason)) => Err(reason),
        }
    }
}

/// Asks a service of this machine.
async fn ask_service(
    service: &dyn NameService,
    name: &Name,
    kind: RecordType,
    budget: Duration,
) -> Result<Vec<Record>, LookupError> {
    let records = service.look_up(&name.to_ascii(), kind.into(), budget).await;
    let records = records.map_err(|error| match error {
        NameServiceError::Nonexistent => LookupError::Nonexistent,
        NameServiceError::Undetermined(reason) => LookupError::Undetermined(reason),
    })?;
    let parse = |record: &Vec<u8>| Record::from_bytes(record);
    let parsed: Result<Vec<Record>, _> = records.iter().take(MAX_RECORDS).map(parse).collect();
    parsed.map_err(|error| LookupError::Undetermined(Reason::Malformed(error.to_string())))
}

/// Returns the connections of plain DNS: UDP, and TCP where the answer does not fit.
pub(crate) fn plain_connections(port: u16) -> Vec<ConnectionConfig> {
    [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|connection| at_port(connection, port)).to_vec()
}

/// Returns the connection with this port in place of its default one.
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
        .map_err(|error| Reason::Failed(format!("could not create a resolver: {error}")))
}

fn options(share: Duration) -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.cache_size = 0;
    options.attempts = 1; // repeats once after the first try, each with half of the share
    options.timeout = share / 2;
    options.num_concurrent_reqs = 1;
    options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
    options.use_hosts_file = ResolveHosts::Never;
    options
}

/// Reads the beginning of the system's hosts file.
///
/// Block lists against advertisements add megabytes to it, after the entries of the system itself.
#[cfg(unix)]
fn hosts_file() -> Hosts {
    const PATH: &str = "/etc/hosts";
    const MAX_BYTES: u64 = 64 * 1024;
    let mut hosts = Hosts::default();
    // Anything but a file, such as a FIFO, could block for ever.
    let is_file = fs::metadata(PATH).is_ok_and(|metadata| metadata.is_file());
    let file = if is_file { File::open(PATH) } else { Err(io::ErrorKind::NotFound.into()) };
    let read = file.and_then(|file| hosts.read_hosts_conf(file.take(MAX_BYTES)));
    if let Err(error) = read {
        tracing::debug!(%error, "{PATH} could not be read");
    }
    hosts
}

/// Reads the system's hosts file.
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
