//! The resolvers that programs of this machine ask, from all sources of that configuration.
//!
//! Programs ask in two ways, which may lead to different servers:
//!
//! - By the C library, which follows `nsswitch.conf`: the servers of `resolv.conf`, or
//!   systemd-resolved by its socket (nss-resolve).
//! - On their own, from `resolv.conf`: programs in Go, static ones, `dig`, and every program with
//!   musl.
//!
//! Both are listed: first the servers of `resolv.conf`, then those that systemd-resolved forwards
//! to, where it is asked either by its socket or by the address it listens on.

use super::{
    bus::Bus,
    c_library::{self, CLibrary},
    netlink,
    nsswitch::{HostLookup, Nsswitch},
    resolv_conf::{ResolvConf, names_local_listener},
    resolved::{Presence, ResolvedClient, ResolvedState},
};
use crate::platform::{linux::interfaces::link_name, name_service::NameService};
use netlink_packet_route::link::LinkMessage;
use sentinel_model::{ConfiguredResolver, Reason};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::time::timeout;

/// The longest wait for the kernel, which normally answers in microseconds.
const BUDGET: Duration = Duration::from_secs(1);
/// The sockets by which programs ask a name service cache, which loads the modules in their place.
const CACHE_SOCKETS: [&str; 2] = ["run/nscd/socket", "var/run/nscd/socket"];

/// What systemd-resolved does, and what programs have of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ResolvedUse {
    /// Programs do not ask it.
    Unused,
    /// Programs ask it, and this is how it forwards.
    Known(ResolvedState),
    /// Programs ask it, but it does not report its state.
    Unreadable,
    /// It did not answer in time, so that nothing is known about it at this moment.
    Undetermined,
}

/// All sources of the resolver configuration.
#[derive(Clone, Debug)]
pub(super) struct ResolverConfig {
    resolv_conf: ResolvConf,
    nsswitch: Nsswitch,
    resolved: Arc<ResolvedClient>,
    /// The root of the file system in which the C library's modules are looked for.
    root: PathBuf,
}

impl ResolverConfig {
    /// Returns this system's configuration; `bus` is the system's.
    pub(super) fn system(bus: Arc<Bus>) -> Self {
        Self::new(ResolvConf::system(), Nsswitch::system(), ResolvedClient::on(bus), "/")
    }

    /// Returns a configuration from other sources.
    pub(super) fn new(
        resolv_conf: ResolvConf,
        nsswitch: Nsswitch,
        resolved: ResolvedClient,
        root: impl Into<PathBuf>,
    ) -> Self {
        Self { resolv_conf, nsswitch, resolved: Arc::new(resolved), root: root.into() }
    }

    /// Returns the files whose content is a part of the configuration.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let [main, upstream] = self.resolv_conf.files().map(Path::to_owned);
        vec![main, upstream, self.nsswitch.file().to_owned()]
    }

    /// Lists the resolvers that programs ask, and those that a forwarder asks for them.
    pub(super) async fn read(&self) -> Result<Vec<ConfiguredResolver>, Reason> {
        let mut resolvers = self.resolv_conf.list_resolvers()?;
        let listens = names_local_listener(&resolvers);
        let forwarded_to = match self.find_resolved_use(listens).await? {
            ResolvedUse::Known(state) => {
                let links = timeout(BUDGET, netlink::list_links()).await;
                let links = links.unwrap_or(Err(Reason::TimedOut)).unwrap_or_default();
                state.list_resolvers(|index| find_link_name(&links, index))
            }
            ResolvedUse::Unreadable | ResolvedUse::Undetermined => self.resolv_conf.upstream_servers(),
            ResolvedUse::Unused => Vec::new(),
        };
        resolvers.extend(forwarded_to);
        Ok(resolvers)
    }

    /// Returns the service that the C library asks in place of the servers of `resolv.conf`.
    pub(super) async fn find_name_service(&self) -> Option<Arc<dyn NameService>> {
        if !self.asks_by_socket().ok()? {
            return None;
        }
        let is_asked = self.resolved.find_presence().await == Presence::Reachable;
        let service: Arc<dyn NameService> = Arc::<ResolvedClient>::clone(&self.resolved);
        is_asked.then_some(service)
    }

    /// Finds out whether and how programs use systemd-resolved at this moment.
    pub(super) async fn current_resolved_use(&self) -> ResolvedUse {
        let use_of_it = self.find_resolved_use(self.resolv_conf.names_resolved()).await;
        use_of_it.unwrap_or(ResolvedUse::Undetermined)
    }

    /// `listens` says that `resolv.conf` names the address it listens on.
    async fn find_resolved_use(&self, listens: bool) -> Result<ResolvedUse, Reason> {
        if !listens {
            if !self.asks_by_socket()? {
                return Ok(ResolvedUse::Unused);
            }
            match self.resolved.find_presence().await {
                Presence::Reachable => {}
                Presence::Absent => return Ok(ResolvedUse::Unused),
                Presence::Undetermined => return Ok(ResolvedUse::Undetermined),
            }
        }
        Ok(self.resolved.read_state().await.map_or(ResolvedUse::Unreadable, ResolvedUse::Known))
    }

    /// Returns true if the C library asks systemd-resolved by its socket, where that is running.
    ///
    /// This needs the C library's module. A cache that looks up names for programs has its own,
    /// perhaps in another place.
    fn asks_by_socket(&self) -> Result<bool, Reason> {
        if self.resolv_conf.c_library() == CLibrary::Musl || self.nsswitch.read()? != HostLookup::Resolved {
            return Ok(false);
        }
        let has_cache = CACHE_SOCKETS.iter().any(|socket| self.root.join(socket).exists());
        Ok(has_cache || c_library::has_library(&self.root, "libnss_resolve.so.2"))
    }
}

fn find_link_name(links: &[LinkMessage], index: u32) -> Option<String> {
    links.iter().find(|link| link.header.index == index).map(link_name)
}
