//! The [`Platform`] implementation: runs each request on a thread that may block.

use super::{interfaces, probe, resolvers, routes};
use crate::{
    clock,
    error::CheckError,
    platform::{
        api::{Change, FarEnd, PacketKind, Platform, Probe, ProbeReply, RouteSample},
        blocking::run_blocking,
        routing_table::{self, RouteEntry},
        watcher::{self, SnapshotSource},
    },
    reason,
};
use async_trait::async_trait;
use sentinel_model::{ConfiguredResolver, Interface, Millis, Outcome, RouteTaken};
use socket2::Socket;
use std::{io, sync::Arc};
use tokio::sync::{Notify, mpsc};

/// The macOS platform, which keeps no state.
#[derive(Clone, Copy)]
pub(crate) struct MacOs;

#[async_trait]
impl Platform for MacOs {
    /// Looks the destination up: rules by protocol or port do not exist here.
    async fn find_route(&self, packet: PacketKind) -> Outcome<RouteTaken> {
        run_blocking(move || routes::find_route(packet.destination)).await
    }

    async fn list_interfaces(&self) -> Outcome<Vec<Interface>> {
        run_blocking(interfaces::list_interfaces).await
    }

    async fn read_resolver_config(&self) -> Outcome<Vec<ConfiguredResolver>> {
        run_blocking(resolvers::read_config).await
    }

    async fn find_far_ends(&self) -> Outcome<Vec<FarEnd>> {
        run_blocking(|| {
            Ok(routing_table::find_far_ends(&routes::list_routes()?, &interfaces::list_interfaces()?))
        })
        .await
    }

    async fn sample_routes(&self) -> Outcome<Vec<RouteSample>> {
        run_blocking(|| {
            Ok(routing_table::sample_routes(&routes::list_routes()?, &interfaces::list_interfaces()?))
        })
        .await
    }

    async fn list_dhcp_resolvers(&self) -> Outcome<Vec<ConfiguredResolver>> {
        run_blocking(resolvers::list_dhcp_resolvers).await
    }

    async fn send_probe(&self, probe: &Probe) -> Outcome<ProbeReply> {
        reason::outcome(probe::send(probe).await)
    }

    fn bind_to_interface(&self, socket: &Socket, interface: &str) -> io::Result<()> {
        routes::bind_to_interface(socket, interface)
    }

    fn watch_changes(&self) -> Result<mpsc::Receiver<Change>, CheckError> {
        let trigger = Arc::new(Notify::new());
        routes::notify_on_changes(&trigger)?;
        watcher::start(*self, trigger, ())
    }
}

#[async_trait]
impl SnapshotSource for MacOs {
    async fn read_interfaces(&self) -> Option<Vec<Interface>> {
        run_blocking(interfaces::list_interfaces).await.measured().cloned()
    }

    async fn read_routes(&self) -> Option<Vec<RouteEntry>> {
        run_blocking(routes::list_routes).await.measured().cloned()
    }

    async fn read_resolvers(&self) -> Option<Vec<ConfiguredResolver>> {
        run_blocking(resolvers::read_config).await.measured().cloned()
    }

    fn time_slept(&self) -> Millis {
        clock::slept()
    }
}
