//! The resolver of the program's own lookups.

use super::{
    cache::{Answer, Cache},
    guard::{ExpectedTunnel, LookupGuard, LookupPurpose},
    service_names::{KnownServices, ServiceNames},
};
use crate::{
    dns::{lookup_error::LookupError, name, stub::SystemResolver},
    platform::Platform,
    settings::Settings,
};
use futures::FutureExt;
use hickory_resolver::proto::rr::RecordType;
use sentinel_model::{ConfiguredResolver, Family, Outcome, Reason};
use std::{net::IpAddr, sync::Arc, time::Duration};
use tokio::{sync::Notify, time::timeout};

/// The time limit of asking all servers for one name. A dial waits for it.
const BUDGET: Duration = Duration::from_secs(3);
/// The time limit of a whole lookup, with reading the system's configuration.
const TOTAL_BUDGET: Duration = Duration::from_secs(4);
/// The longest name in text form, with a final dot (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 254;

/// Looks up names as the system is configured at that moment, but never past an expected tunnel.
///
/// - The configuration is read for every lookup.
/// - The servers are asked one after the other, in the system's order, the next one after silence
///   or a failure.
/// - Where a tunnel is expected, a server outside of it is not asked. A server on this machine is:
///   what it forwards to is up to the system.
///
/// A handle: cloning it is cheap.
#[derive(Clone)]
pub struct OwnResolver {
    shared: Arc<Shared>,
}

struct Shared {
    platform: Arc<dyn Platform>,
    guard: LookupGuard,
    cache: Cache,
    services: Arc<KnownServices>,
    /// Notified when the network or the expected tunnel changes.
    changed: Notify,
}

impl OwnResolver {
    /// Creates a resolver that expects no tunnel yet.
    ///
    /// `expected` are the resolvers that the user expects; they may be asked wherever they are, as
    /// may those in networks that the settings exclude from the tunnel.
    pub fn new(settings: &Settings, expected: Vec<IpAddr>, platform: Arc<dyn Platform>) -> Self {
        let guard =
            LookupGuard::new(Arc::clone(&platform), settings.excluded.clone(), expected, &settings.spread);
        let (cache, services, changed) = (Cache::default(), Arc::default(), Notify::new());
        Self { shared: Arc::new(Shared { platform, guard, cache, services, changed }) }
    }

    /// Sets the tunnel that is expected from now on.
    pub fn expect_tunnel(&self, tunnel: ExpectedTunnel) {
        if self.shared.guard.expect(tunnel) {
            self.start_over();
        }
    }

    /// Forgets all answers and ends the lookups under way, since the network changed.
    ///
    /// A query that is repeated now could take another route than the one that was examined.
    pub fn start_over(&self) {
        self.shared.cache.clear();
        self.shared.changed.notify_waiters();
    }

    /// Returns the addresses of a node's name in one family; none if it has none there.
    ///
    /// Takes 4 s at most.
    pub async fn find_node(&self, name: &str, family: Family) -> Result<Vec<IpAddr>, Reason> {
        if name.len() > MAX_NAME {
            return Err(Reason::Failed(format!("it is not a domain name, having {} characters", name.len())));
        }
        let name = name.to_ascii_lowercase();
        if let Ok(address) = name.parse::<IpAddr>() {
            return Ok(if Family::of(address) == family { vec![address] } else { Vec::new() });
        }
        let shared = Arc::clone(&self.shared);
        let question = (name.clone(), family);
        let start = || async move { shared.look_up(&name, family).await }.boxed();
        self.shared.cache.find_or_start(question, start).await.result
    }

    /// Returns what looks up the names of public services in one round.
    pub(crate) async fn service_names(
        &self,
        configured: &[ConfiguredResolver],
        budget: Duration,
    ) -> ServiceNames {
        let permitted = self.shared.guard.permitted(configured, LookupPurpose::Service).await;
        ServiceNames::new(permitted, budget, Arc::clone(&self.shared.services))
    }
}

impl Shared {
    async fn look_up(&self, name: &str, family: Family) -> Answer {
        let changed = self.changed.notified();
        let found = tokio::select! {
            found = timeout(TOTAL_BUDGET, self.ask(name, family)) => found.unwrap_or(Err(Reason::TimedOut)),
            () = changed => Err(Reason::Failed("the network changed during the lookup".into())),
        };
        match found {
            Ok((addresses, ttl)) => Answer::new(Ok(addresses), ttl),
            Err(reason) => Answer::new(Err(reason), Duration::ZERO),
        }
    }

    async fn ask(&self, name: &str, family: Family) -> Result<(Vec<IpAddr>, Duration), Reason> {
        let name =
            name::parse(name).map_err(|cause| Reason::Failed(format!("it is not a domain name: {cause}")))?;
        let configured = match self.platform.read_resolver_config().await {
            Outcome::Measured(configured) => configured,
            Outcome::Unknown(reason) => return Err(reason),
        };
        let permitted = self.guard.permitted(&configured, LookupPurpose::Node).await;
        let (resolver, refusal) = match permitted {
            Ok(resolver) => (resolver, None),
            // The hosts file may still name the node.
            Err(refusal) => (SystemResolver::default(), Some(refusal)),
        };
        let stub = resolver.stub_with_hosts_file(BUDGET)?;
        let kind = match family {
            Family::V4 => RecordType::A,
            Family::V6 => RecordType::AAAA,
        };
        match stub.lookup(&name, kind).await {
            Ok(records) => {
                let ttl = records.iter().map(|record| record.ttl).min().unwrap_or_default();
                let addresses = records.iter().filter_map(|record| record.data.ip_addr()).collect();
                Ok((addresses, Duration::from_secs(ttl.into())))
            }
            Err(LookupError::Nonexistent) => Ok((Vec::new(), Duration::ZERO)),
            Err(LookupError::Undetermined(reason)) => Err(refusal.unwrap_or(reason)),
        }
    }
}
