//! The servers of the lab: Unbound, NSD, coturn and nginx.

mod authoritative;
mod certificates;
mod daemon;
mod resolvers;
mod stun;
mod web;

pub(crate) use authoritative::build_rewritten_zone;
pub(crate) use certificates::authority;
pub(crate) use resolvers::{
    Upstream, control_resolver, reconfigure_resolver, start_resolver, start_resolvers,
};
pub(crate) use web::answer_directory;

use crate::{
    plan::{self, Extras},
    process::Process,
    wiring::Hosts,
};
use anyhow::Result;
use futures::future::try_join_all;

/// Starts the authoritative server, the STUN servers and all servers that use TLS.
pub(crate) async fn start_servers(hosts: &Hosts, with: &Extras) -> Result<Vec<Process>> {
    let stun_servers = plan::stun_servers(with);
    let stun_servers =
        try_join_all(stun_servers.iter().map(|(name, addresses)| stun::start(hosts, name, addresses)));
    let (root, stun_servers, web) =
        futures::try_join!(authoritative::start(hosts, with), stun_servers, web::start(hosts, with))?;
    Ok([root].into_iter().chain(stun_servers).chain(web).collect())
}
