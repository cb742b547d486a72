//! What can be told without the system's own interfaces: whether there is a way at all, and which resolvers are
//! configured.

use super::{Change, Platform};
use crate::{error::CheckError, reason};
use async_trait::async_trait;
use hickory_resolver::system_conf::read_system_conf;
use sentinel_model::{ConfiguredResolver, Interface, Outcome, Reason, ResolverRole, RouteTaken};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};
use tokio::{net::UdpSocket, sync::mpsc, time};

/// How often the resolver configuration is compared. The systems have faster ways, which have no portable form.
const COMPARE_EVERY: Duration = Duration::from_secs(1);

/// A system without a platform file of its own.
pub(crate) struct Unsupported;

#[async_trait]
impl Platform for Unsupported {
    /// Connecting a UDP socket sends nothing and fails where there is no route. The interface stays unknown.
    async fn route_to(&self, destination: IpAddr) -> Outcome<RouteTaken> {
        Outcome::Unknown(match has_route(destination).await {
            Ok(()) => Reason::Unsupported,
            Err(error) => reason::of_io(&error),
        })
    }

    async fn interfaces(&self) -> Outcome<Vec<Interface>> {
        Outcome::Unknown(Reason::Unsupported)
    }

    async fn resolver_config(&self) -> Outcome<Vec<ConfiguredResolver>> {
        match read_system_conf() {
            Ok((config, _)) => {
                let servers = config.name_servers().iter();
                // The first is asked, and the others when it fails.
                let roles =
                    std::iter::once(ResolverRole::First).chain(std::iter::repeat(ResolverRole::Fallback));
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

    fn changes(&self) -> Result<mpsc::Receiver<Change>, CheckError> {
        let (tx, rx) = mpsc::channel(8);
        tokio::spawn(async move {
            let mut last = Self.resolver_config().await;
            let mut tick = time::interval(COMPARE_EVERY);
            loop {
                tokio::select! {
                    () = tx.closed() => return,
                    _ = tick.tick() => {}
                }
                let now = Self.resolver_config().await;
                if now != last && tx.send(Change::ResolverConfig).await.is_err() {
                    return;
                }
                last = now;
            }
        });
        Ok(rx)
    }
}

async fn has_route(destination: IpAddr) -> std::io::Result<()> {
    let any = match destination {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let discard = 9; // any port will do
    UdpSocket::bind((any, 0)).await?.connect((destination, discard)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_routable_destination_is_unsupported_rather_than_unreachable() {
        let loopback = Unsupported.route_to(IpAddr::V4(Ipv4Addr::LOCALHOST)).await;
        assert_eq!(loopback, Outcome::Unknown(Reason::Unsupported));
        assert_eq!(Unsupported.interfaces().await, Outcome::Unknown(Reason::Unsupported));
    }
}
