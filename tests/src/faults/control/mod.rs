//! Positive controls: proof that each fault took effect.
//!
//! After every fault its effect is observed in the world, from where it must be visible. Otherwise
//! a scenario in which nothing may be reported would also pass if its fault had no effect.
//!
//! The observations use [`crate::probe`] and are independent of the programs under test. The
//! exceptions are a node's clock and its sleep, which only the node itself can show.

mod effect;
mod public_service;
mod viewpoint;

pub(crate) use effect::PositiveControl;

use super::{
    fault::Fault,
    parameters::{Change, NetworkName, ProviderName, VpnExit},
};
use crate::{
    plan::{self, router_of},
    world::World,
};
use anyhow::{Context, Result};
use effect::LATER;
use public_service::PublicService;
use viewpoint::Viewpoint;

/// For faults made by commands of the kernel, whose exit status has been checked.
const KERNEL: PositiveControl = PositiveControl::NotNeeded("the kernel accepted the command");

impl World {
    /// Prepares the proof that a fault takes effect. This must happen before the fault is injected.
    ///
    /// # Errors
    /// Fails if the fault's effect could not be distinguished from the present state of the world.
    pub(crate) async fn prepare_control(&self, fault: &Fault) -> Result<PositiveControl> {
        prepare_control(self, fault).await.with_context(|| format!("cannot control {fault:?}"))
    }
}

async fn prepare_control(world: &World, fault: &Fault) -> Result<PositiveControl> {
    if !world.spec.counted.is_empty() {
        return Ok(PositiveControl::NotNeeded("packets of an observation would be counted as the node's"));
    }
    let viewpoint = Viewpoint::new(world)?;
    let control: PositiveControl = match fault {
        Fault::TunnelRemoved {}
        | Fault::TunnelRestored {}
        | Fault::Offline {}
        | Fault::Online {}
        | Fault::Ipv6DefaultRoute { .. } => KERNEL,
        Fault::ServerSilent {} => viewpoint.expect_silence(viewpoint.stun).await?.into(),
        Fault::ServerBack {} => viewpoint.expect_reply(viewpoint.stun).within(LATER).into(),
        Fault::ResolverSwitched { to } => viewpoint.expect_resolver(to.address(), to.host()).into(),
        Fault::ExitSwitched { to: VpnExit::First } | Fault::ExitBack {} => {
            viewpoint.expect_exit(plan::VPN_EXIT).into()
        }
        Fault::ExitSwitched { to: VpnExit::Second } => viewpoint.expect_exit(plan::VPN_SECOND_EXIT).into(),
        // The other server may be silent at first, and a handshake is retried every five seconds.
        Fault::ProviderSwitched { to: ProviderName::Example } => {
            viewpoint.expect_exit(plan::VPN_EXIT).within(LATER).into()
        }
        Fault::ProviderSwitched { to: ProviderName::Other } => {
            viewpoint.expect_exit(plan::OTHER_VPN_EXIT).within(LATER).into()
        }
        Fault::ExitBecomesHome {} => viewpoint.expect_exit(plan::HOME).into(),
        Fault::Link { host, direction, delay_ms, jitter_ms, loss } => {
            viewpoint.expect_link(host, *direction, *delay_ms, *jitter_ms, *loss)?.within(LATER).into()
        }
        Fault::NodeCutOff { node } => viewpoint.expect_no_network(router_of(node)?).await?.into(),
        Fault::NodeBack { node } => viewpoint.expect_network(router_of(node)?, None)?.into(),
        Fault::RouteOutside { prefix, change } | Fault::DhcpRoute { prefix, change } => {
            viewpoint.expect_route_outside(prefix.addr(), *change).into()
        }
        Fault::PolicyRule { prefix, change } => {
            let to = prefix.map_or(plan::STUN.into(), |prefix| prefix.addr());
            viewpoint.expect_route_outside(to, *change).into()
        }
        Fault::ProgramOutside { change: Change::Add, .. } => viewpoint.expect_busy_program().into(),
        Fault::ProgramOutside { change: Change::Remove, .. } => {
            PositiveControl::NotNeeded("the program has ended")
        }
        Fault::RouterAdvertisement { change: Change::Add } => {
            viewpoint.expect_reply(plan::STUN_V6.into()).within(LATER).into()
        }
        Fault::RouterAdvertisement { change: Change::Remove } | Fault::Ipv6Dead { change: Change::Add } => {
            viewpoint.expect_silence(plan::STUN_V6.into()).await?.within(LATER).into()
        }
        Fault::Ipv6Dead { change: Change::Remove } => viewpoint.expect_reply(plan::STUN_V6.into()).into(),
        Fault::TunnelWithoutIpv6 { change: Change::Add } => {
            viewpoint.expect_mapped_address(plan::STUN_V6.into(), plan::LAPTOP_V6.into()).into()
        }
        Fault::TunnelWithoutIpv6 { change: Change::Remove } => {
            viewpoint.expect_mapped_address(plan::STUN_V6.into(), plan::VPN_EXIT_V6.into()).into()
        }
        Fault::KillSwitch { change: Change::Add } => viewpoint.expect_closed_kill_switch().await?.into(),
        Fault::KillSwitch { change: Change::Remove } => viewpoint.expect_open_kill_switch().into(),
        Fault::CaptivePortal { change } => viewpoint.expect_portal(*change).into(),
        Fault::LaptopSuspended { .. } => viewpoint.expect_stopped_processes().into(),
        Fault::ClockJumped { by_ms } => viewpoint.expect_clock(world, *by_ms).await?.into(),
        Fault::Roamed { to: NetworkName::Home } => viewpoint.expect_address(plan::LAPTOP).into(),
        Fault::Roamed { to: NetworkName::Cafe } => viewpoint.expect_address(plan::LAPTOP_AT_CAFE).into(),
        // Services and witnesses
        Fault::DnsIntercepted { by, transport, change } => {
            viewpoint.expect_interception(*by, *transport, *change).into()
        }
        Fault::ResolverForwards { to } => viewpoint.expect_forwarding(*to).into(),
        Fault::AnswersFalsified { at, with, change, .. } => {
            viewpoint.expect_falsification(world, at.address(), *with, *change)?.into()
        }
        Fault::ServiceDown { service } => PublicService::find(world, service)?.expect_silence().await?.into(),
        Fault::ServiceSlow { service, ms } => PublicService::find(world, service)?.expect_delay(*ms)?.into(),
        Fault::ServiceLies { service, address } => {
            PublicService::find(world, service)?.expect_reply(address.to_string()).into()
        }
        Fault::ServiceRefuses { service } => {
            PublicService::find(world, service)?.expect_reply("429".to_owned()).into()
        }
        Fault::ServiceMalformed { service, .. } => {
            PublicService::find(world, service)?.expect_reply("<!doctype html>".to_owned()).into()
        }
        Fault::ServiceBack { service } => PublicService::find(world, service)?.expect_recovery().into(),
        Fault::WitnessLiesAddress { node, .. } => viewpoint.expect_rewritten_requests(world, node)?.into(),
        Fault::WitnessLiesDns { node } => viewpoint::expect_bogon(world, node, true)?.into(),
        Fault::WitnessSlow { node, ms } => viewpoint.expect_network(router_of(node)?, Some(*ms))?.into(),
        Fault::WitnessBack { node } => viewpoint::expect_bogon(world, node, false)?.into(),
        Fault::NodeAsleep { node } => viewpoint::expect_node(world, node, false)?.into(),
        Fault::NodeAwake { node } => viewpoint::expect_node(world, node, true)?.into(),
    };
    Ok(control)
}
