//! The platform itself: each question to its file, on a thread that may wait.

use super::{bind, changes::Hints, interfaces, probe, resolvers, routes};
use crate::{
    clock,
    error::CheckError,
    platform::{
        Change, Echo, Platform, Probe, blocking,
        table::{self, Entry},
        watch::{self, Sight},
    },
};
use async_trait::async_trait;
use sentinel_model::{ConfiguredResolver, Interface, Millis, Outcome, Reason, RouteTaken};
use socket2::Socket;
use std::{io, net::IpAddr, sync::Arc};
use tokio::sync::{Notify, mpsc};

/// Windows. Holds nothing: every answer is asked for anew.
#[derive(Clone, Copy)]
pub(crate) struct Windows;

fn all_interfaces() -> Result<Vec<Interface>, Reason> {
    Ok(interfaces::adapters()?.into_iter().map(|adapter| adapter.interface).collect())
}

#[async_trait]
impl Platform for Windows {
    async fn route_to(&self, destination: IpAddr) -> Outcome<RouteTaken> {
        blocking(move || routes::route_to(destination)).await
    }

    async fn interfaces(&self) -> Outcome<Vec<Interface>> {
        blocking(all_interfaces).await
    }

    async fn resolver_config(&self) -> Outcome<Vec<ConfiguredResolver>> {
        blocking(resolvers::configured).await
    }

    async fn tunnel_endpoints(&self) -> Outcome<Vec<IpAddr>> {
        blocking(|| Ok(table::endpoints(&routes::table()?, &all_interfaces()?))).await
    }

    async fn specific_destinations(&self) -> Outcome<Vec<IpAddr>> {
        blocking(|| Ok(table::destinations(&routes::table()?, &all_interfaces()?))).await
    }

    async fn dhcp_resolvers(&self) -> Outcome<Vec<ConfiguredResolver>> {
        blocking(resolvers::from_dhcp).await
    }

    async fn probe(&self, probe: &Probe) -> Outcome<Echo> {
        let probe = probe.clone();
        blocking(move || probe::send(&probe)).await
    }

    fn bind(&self, socket: &Socket, interface: &str) -> io::Result<()> {
        bind::to_interface(socket, interface)
    }

    fn changes(&self) -> Result<mpsc::Receiver<Change>, CheckError> {
        let hint = Arc::new(Notify::new());
        let hints = Hints::to(Arc::clone(&hint))?;
        watch::start(*self, hint, hints)
    }
}

#[async_trait]
impl Sight for Windows {
    async fn interfaces(&self) -> Option<Vec<Interface>> {
        blocking(all_interfaces).await.measured().cloned()
    }

    async fn routes(&self) -> Option<Vec<Entry>> {
        blocking(routes::table).await.measured().cloned()
    }

    async fn resolvers(&self) -> Option<Vec<ConfiguredResolver>> {
        blocking(resolvers::configured).await.measured().cloned()
    }

    fn slept(&self) -> Millis {
        clock::slept()
    }
}
