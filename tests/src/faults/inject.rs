//! Injects faults, each with the command that would cause it outside the lab.

use super::{
    dns,
    fault::Fault,
    network,
    parameters::{Change, ProviderName, VpnExit},
    public_services, witnesses,
};
use crate::{
    internet::Direction,
    nodes,
    plan::{self, router_of},
    world::{World, parse_millis},
};
use anyhow::{Context, Result, bail, ensure};
use sentinel_model::IpNet;
use std::net::IpAddr;

impl World {
    /// Injects a fault. Returns once it has happened, without waiting for any program to notice it.
    pub async fn inject(&mut self, fault: &Fault) -> Result<()> {
        inject(self, fault).await.with_context(|| format!("cannot inject {fault:?}"))
    }
}

async fn inject(world: &mut World, fault: &Fault) -> Result<()> {
    match fault {
        Fault::TunnelRemoved {} => world.tunnel.remove().await,
        Fault::TunnelRestored {} => world.tunnel.establish(&world.vpn).await,
        Fault::ServerSilent {} => set_silence(world, "vpn", true),
        Fault::ServerBack {} => set_silence(world, "vpn", false),
        Fault::ResolverSwitched { to } => world.laptop()?.set_resolvers(&[to.address()]),
        Fault::ExitSwitched { to } => switch_exit(world, *to).await,
        Fault::ProviderSwitched { to: ProviderName::Example } => world.tunnel.move_to(&world.vpn).await,
        Fault::ProviderSwitched { to: ProviderName::Other } => world.tunnel.move_to(&world.other_vpn).await,
        Fault::ExitBecomesHome {} => set_home_exit(world).await,
        Fault::ExitBack {} => restore_exit(world).await,
        Fault::Link { .. } => change_link(world, fault),
        Fault::Ipv6DefaultRoute { change } => set_ipv6_default_route(world, *change).await,
        Fault::NodeCutOff { node } => set_silence(world, router_of(node)?, true),
        Fault::NodeBack { node } => set_silence(world, router_of(node)?, false),
        Fault::Offline {} => world.laptop()?.run_ip("link set eth0 down\n").await,
        Fault::Online {} => bring_online(world).await,
        Fault::RouteOutside { prefix, change } => network::set_route_outside(world, *prefix, *change).await,
        Fault::DhcpRoute { prefix, change } => network::set_dhcp_route(world, *prefix, *change).await,
        Fault::PolicyRule { prefix, change } => network::set_policy_rule(world, *prefix, *change).await,
        Fault::ProgramOutside { transport, change } => {
            network::set_program_outside(world, *transport, *change).await
        }
        Fault::RouterAdvertisement { change } => network::set_router_advertisement(world, *change).await,
        Fault::Ipv6Dead { change } => network::block_ipv6(world, *change).await,
        Fault::TunnelWithoutIpv6 { change } => world.tunnel.set_ipv6(*change == Change::Remove).await,
        Fault::KillSwitch { change } => network::set_kill_switch(world, *change).await,
        Fault::CaptivePortal { change } => network::set_captive_portal(world, *change).await,
        Fault::LaptopSuspended { for_ms } => network::suspend_laptop(world, *for_ms),
        Fault::ClockJumped { by_ms } => network::shift_clock(world, *by_ms),
        Fault::Roamed { to } => network::roam(world, *to).await,
        // Services and witnesses
        Fault::DnsIntercepted { by, transport, change } => {
            dns::intercept(world, *by, *transport, *change).await
        }
        Fault::ResolverForwards { to } => dns::set_forwarding(world, *to).await,
        Fault::AnswersFalsified { at, names, with, change } => {
            dns::falsify(world, *at, *names, *with, *change).await
        }
        Fault::ServiceDown { service } => public_services::take_down(world, service),
        Fault::ServiceSlow { service, ms } => public_services::slow_down(world, service, *ms),
        Fault::ServiceLies { service, address } => {
            public_services::falsify_address(world, service, *address).await
        }
        Fault::ServiceRefuses { service } => public_services::refuse(world, service),
        Fault::ServiceMalformed { service, body } => public_services::malform(world, service, *body),
        Fault::ServiceBack { service } => public_services::restore(world, service).await,
        Fault::WitnessLiesAddress { node, address } => {
            witnesses::falsify_address(world, node, *address).await
        }
        Fault::WitnessLiesDns { node } => witnesses::falsify_dns(world, node).await,
        Fault::WitnessSlow { node, ms } => witnesses::slow_down(world, node, *ms),
        Fault::WitnessBack { node } => witnesses::restore(world, node).await,
        Fault::NodeAsleep { node } => nodes::stop(world, node).await,
        Fault::NodeAwake { node } => nodes::start(world, node).await,
    }
}

/// Starts or stops dropping every packet of an attached host.
fn set_silence(world: &World, attachment: &str, silent: bool) -> Result<()> {
    world.internet.change_link(attachment, Direction::Both, |conditions| conditions.silent = silent)
}

async fn switch_exit(world: &World, to: VpnExit) -> Result<()> {
    let exit = match to {
        VpnExit::First => plan::VPN_EXIT,
        VpnExit::Second => plan::VPN_SECOND_EXIT,
    };
    world.vpn.set_exit(exit).await
}

/// Gives new flows out of the tunnel the home line's address.
///
/// Traffic still passes through the VPN server, so neither routes nor round trips change. Replies
/// to the home address must therefore go to the server. Only packets from the server and from the
/// ISP's resolver still reach the home line, for the tunnel itself and for the home router's
/// queries.
async fn set_home_exit(world: &World) -> Result<()> {
    world.internet.reroute(home_prefix(), "vpn", &["vpn", "isp"])?;
    world.vpn.set_exit(plan::HOME).await
}

async fn restore_exit(world: &World) -> Result<()> {
    world.internet.unroute(home_prefix(), "vpn")?;
    world.vpn.set_exit(plan::VPN_EXIT).await
}

fn home_prefix() -> IpNet {
    IpAddr::from(plan::HOME).into()
}

fn change_link(world: &World, fault: &Fault) -> Result<()> {
    let Fault::Link { host, direction, delay_ms, jitter_ms, loss } = fault else { bail!("not a link fault") };
    ensure!(loss.is_none_or(|loss| (0.0..=1.0).contains(&loss)), "loss {loss:?} is outside 0 to 1");
    let delay = delay_ms.map(parse_millis).transpose()?;
    let jitter = jitter_ms.map(parse_millis).transpose()?;
    world.internet.change_link(host, *direction, |conditions| {
        conditions.delay = delay.unwrap_or(conditions.delay);
        conditions.jitter = jitter.unwrap_or(conditions.jitter);
        conditions.loss = loss.unwrap_or(conditions.loss);
    })
}

async fn set_ipv6_default_route(world: &World, change: Change) -> Result<()> {
    let (address, router) = (plan::LAPTOP_V6, plan::ROUTER_V6);
    let lines = match change {
        Change::Add => {
            format!("address add {address}/64 dev eth0 nodad\nroute add ::/0 via {router} dev eth0\n")
        }
        Change::Remove => {
            format!("route delete ::/0 via {router} dev eth0\naddress delete {address}/64 dev eth0\n")
        }
    };
    world.laptop()?.run_ip(&lines).await
}

async fn bring_online(world: &World) -> Result<()> {
    let endpoint = world.tunnel.endpoint_route().unwrap_or_default();
    world.laptop()?.run_ip(&format!("{}{endpoint}", world.network.configuration_lines()?)).await
}
