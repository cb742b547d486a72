//! What can be determined without system-specific calls.
//!
//! This is whether there is a route to a destination, and which resolvers are configured.

use super::{
    api::{Change, PacketKind, Platform},
    source_address::find_source_address,
    timing::COMPARE_EVERY,
};
use crate::{error::CheckError, reason};
use async_trait::async_trait;
use hickory_resolver::system_conf::read_system_conf;
use sentinel_model::{ConfiguredResolver, Interface, Outcome, Reason, ResolverRole, RouteTaken};
use std::iter;
use tokio::{sync::mpsc, time};

/// A system without an implementation of its own.
pub(crate) struct Unsupported;

#[async_trait]
impl Platform for Unsupported {
    /// Distinguishes a missing route only; the interface remains unknown.
    async fn find_route(&self, packet: PacketKind) -> Outcome<RouteTaken> {
        Outcome::Unknown(match find_source_address(packet.destination) {
            Ok(_) => Reason::Unsupported,
            Err(error) => reason::of_io(&error),
        })
    }

    async fn list_interfaces(&self) -> Outcome<Vec<Interface>> {
        Outcome::Unknown(Reason::Unsupported)
    }

    async fn read_resolver_config(&self) -> Outcome<Vec<ConfiguredResolver>> {
        match read_system_conf() {
            Ok((config, _)) => {
                let servers = config.name_servers().iter();
                // The first server is asked, the others only when it fails.
                let roles = iter::once(ResolverRole::First).chain(iter::repeat(ResolverRole::Fallback));
                let resolvers = servers.zip(roles).map(|(server, role)| ConfiguredResolver {
                    address: server.ip,
                    interface: None,
                    role,
                });
                Outcome::Measured(resolvers.collect())
            }
            Err(error) => Outcome::Unknown(Reason::Failed(format!(
                "could not read the resolver configuration: {error}"
            ))),
        }
    }

    /// Reports changes of the resolver configuration only, by comparing it periodically.
    fn watch_changes(&self) -> Result<mpsc::Receiver<Change>, CheckError> {
        let (tx, rx) = mpsc::channel(8);
        tokio::spawn(async move {
            let mut last = Self.read_resolver_config().await;
            let mut tick = time::interval(COMPARE_EVERY);
            loop {
                tokio::select! {
                    () = tx.closed() => return,
                    _ = tick.tick() => {}
                }
                let current = Self.read_resolver_config().await;
                if current != last && tx.send(Change::ResolverConfig).await.is_err() {
                    return;
                }
                last = current;
            }
        });
        Ok(rx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[tokio::test]
    async fn a_routable_destination_is_unsupported_rather_than_unreachable() {
        let loopback = Unsupported.find_route(PacketKind::web(Ipv4Addr::LOCALHOST.into())).await;
        assert_eq!(loopback, Outcome::Unknown(Reason::Unsupported));
        assert_eq!(Unsupported.list_interfaces().await, Outcome::Unknown(Reason::Unsupported));
    }
}
