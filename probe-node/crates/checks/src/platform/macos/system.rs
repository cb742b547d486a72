//! The platform itself: each question to its file, on a thread that may wait.

use super::{interfaces, probe, resolvers, routes};
use crate::{
    clock,
    error::CheckError,
    platform::{
        Change, Echo, Platform, Probe, blocking,
        table::{self, Entry},
        watch::{self, Sight},
    },
    reason,
};
use async_trait::async_trait;
use sentinel_model::{ConfiguredResolver, Interface, Millis, Outcome, RouteTaken};
use socket2::Socket;
use std::{io, net::IpAddr, sync::Arc};
use tokio::sync::{Notify, mpsc};

/// macOS. Holds nothing: every answer is asked for anew.
#[derive(Clone, Copy)]
pub(crate) struct MacOs;

#[async_trait]
impl Platform for MacOs {
    async fn route_to(&self, destination: IpAddr) -> Outcome<RouteTaken> {
        blocking(move || routes::route_to(destination)).await
    }

    async fn interfaces(&self) -> Outcome<Vec<Interface>> {
        blocking(interfaces::all).await
    }

    async fn resolver_config(&self) -> Outcome<Vec<ConfiguredResolver>> {
        blocking(resolvers::configured).await
    }

    async fn tunnel_endpoints(&self) -> Outcome<Vec<IpAddr>> {
        blocking(|| Ok(table::endpoints(&routes::table()?, &interfaces::all()?))).await
    }

    async fn specific_destinations(&self) -> Outcome<Vec<IpAddr>> {
        blocking(|| Ok(table::destinations(&routes::table()?, &interfaces::all()?))).await
    }

    async fn dhcp_resolvers(&self) -> Outcome<Vec<ConfiguredResolver>> {
        blocking(resolvers::from_dhcp).await
    }

    async fn probe(&self, probe: &Probe) -> Outcome<Echo> {
        reason::outcome(probe::send(probe).await)
    }

    fn bind(&self, socket: &Socket, interface: &str) -> io::Result<()> {
        routes::bind(socket, interface)
    }

    fn changes(&self) -> Result<mpsc::Receiver<Change>, CheckError> {
        let hint = Arc::new(Notify::new());
        routes::give_hints(&hint)?;
        watch::start(*self, hint, ())
    }
}

#[async_trait]
impl Sight for MacOs {
    async fn interfaces(&self) -> Option<Vec<Interface>> {
        blocking(interfaces::all).await.measured().cloned()
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
