//! Makes faults happen, each by the very command it would be outside.

use super::{Change, Exit, Fault, ProviderName, names, network, services, witnesses};
use crate::{
    internet::Direction,
    nodes, plan,
    world::{World, millis},
};
use anyhow::{Result, bail, ensure};
use sentinel_model::IpNet;
use std::net::IpAddr;

/// Makes it happen.
pub(crate) async fn inject(world: &mut World, fault: &Fault) -> Result<()> {
    match fault {
        Fault::TunnelRemoved {} => world.tunnel.remove().await,
        Fault::TunnelRestored {} => world.tunnel.establish(&world.vpn).await,
        Fault::ServerSilent {} => silence(world, "vpn", true),
        Fault::ServerBack {} => silence(world, "vpn", false),
        Fault::ResolverSwitched { to } => world.laptop()?.set_resolvers(&[to.address()]),
        Fault::ExitSwitched { to } => exit_switched(world, *to).await,
        Fault::ProviderSwitched { to: ProviderName::Example } => world.tunnel.move_to(&world.vpn).await,
        Fault::ProviderSwitched { to: ProviderName::Other } => world.tunnel.move_to(&world.other_vpn).await,
        Fault::ExitBecomesHome {} => exit_becomes_home(world).await,
        Fault::ExitBack {} => exit_back(world).await,
        Fault::Link { .. } => link(world, fault),
        Fault::Ipv6DefaultRoute { change } => ipv6_default_route(world, *change).await,
        Fault::NodeCutOff { node } => silence(world, network_of(node)?, true),
        Fault::NodeBack { node } => silence(world, network_of(node)?, false),
        Fault::Offline {} => world.laptop()?.ip("link set eth0 down\n").await,
        Fault::Online {} => online(world).await,
        Fault::RouteOutside { prefix, change } => network::route_outside(world, *prefix, *change).await,
        Fault::DhcpRoute { prefix, change } => network::dhcp_route(world, *prefix, *change).await,
        Fault::PolicyRule { prefix, change } => network::policy_rule(world, *prefix, *change).await,
        Fault::RouterAdvertisement { change } => network::router_advertisement(world, *change).await,
        Fault::Ipv6Dead { change } => network::ipv6_dead(world, *change).await,
        Fault::TunnelWithoutIpv6 { change } => world.tunnel.carry_ipv6(*change == Change::Remove).await,
        Fault::KillSwitch { change } => network::kill_switch(world, *change).await,
        Fault::CaptivePortal { change } => network::captive_portal(world, *change).await,
        Fault::LaptopSuspended { for_ms } => network::suspended(world, *for_ms),
        Fault::ClockJumped { by_ms } => network::clock_jumped(world, *by_ms),
        Fault::Roamed { to } => network::roamed(world, *to).await,
        // Services and witnesses
        Fault::DnsIntercepted { by, transport, change } => {
            names::intercept(world, *by, *transport, *change).await
        }
        Fault::ResolverForwards { to } => names::forward(world, *to).await,
        Fault::AnswersFalsified { at, names, with, change } => {
            names::falsify(world, *at, *names, *with, *change).await
        }
        Fault::ServiceDown { service } => services::down(world, service),
        Fault::ServiceSlow { service, ms } => services::slow(world, service, *ms),
        Fault::ServiceLies { service, address } => services::lie(world, service, *address).await,
        Fault::ServiceRefuses { service } => services::refuse(world, service),
        Fault::ServiceBabbles { service, what } => services::babble(world, service, *what),
        Fault::ServiceBack { service } => services::back(world, service).await,
        Fault::WitnessLiesAddress { node, address } => witnesses::lie_address(world, node, *address).await,
        Fault::WitnessLiesDns { node } => witnesses::lie_dns(world, node).await,
        Fault::WitnessSlow { node, ms } => witnesses::slow(world, node, *ms),
        Fault::WitnessBack { node } => witnesses::back(world, node).await,
        Fault::NodeAsleep { node } => nodes::stop(world, node).await,
        Fault::NodeAwake { node } => nodes::start(world, node).await,
    }
}

fn silence(world: &World, attachment: &str, silent: bool) -> Result<()> {
    world.internet.set(attachment, Direction::Both, |conditions| conditions.silent = silent)
}

/// The attached host behind which a node sits.
pub(super) fn network_of(node: &str) -> Result<&'static str> {
    match node {
        "laptop" => Ok("home-router"),
        "vps" => Ok("cloud"),
        "home-server" => Ok("second-router"),
        _ => bail!("no node runs on {node}: it is laptop, vps or home-server"),
    }
}

async fn exit_switched(world: &World, to: Exit) -> Result<()> {
    let exit = match to {
        Exit::First => plan::VPN_EXIT,
        Exit::Second => plan::VPN_SECOND_EXIT,
    };
    world.vpn.exit_by(exit).await
}

/// The laptop's traffic still takes the way through the VPN server, so that neither routes nor round trips change, but
/// the world sees the home line. Answers must therefore find back to the server; only the tunnel's own packets and the
/// home router's questions to the ISP's resolver go where the address really is.
async fn exit_becomes_home(world: &World) -> Result<()> {
    world.internet.reroute(home(), "vpn", &["vpn", "isp"])?;
    world.vpn.exit_by(plan::HOME).await
}

async fn exit_back(world: &World) -> Result<()> {
    world.internet.unroute(home(), "vpn")?;
    world.vpn.exit_by(plan::VPN_EXIT).await
}

fn home() -> IpNet {
    IpAddr::from(plan::HOME).into()
}

fn link(world: &World, fault: &Fault) -> Result<()> {
    let Fault::Link { host, direction, delay_ms, jitter_ms, loss } = fault else { bail!("not a link fault") };
    ensure!(loss.is_none_or(|loss| (0.0..=1.0).contains(&loss)), "a loss of {loss:?} is outside 0 to 1");
    let delay = delay_ms.map(millis).transpose()?;
    let jitter = jitter_ms.map(millis).transpose()?;
    world.internet.set(host, *direction, |conditions| {
        conditions.delay = delay.unwrap_or(conditions.delay);
        conditions.jitter = jitter.unwrap_or(conditions.jitter);
        conditions.loss = loss.unwrap_or(conditions.loss);
    })
}

async fn ipv6_default_route(world: &World, change: Change) -> Result<()> {
    let (address, router) = (plan::LAPTOP_V6, plan::ROUTER_V6);
    let lines = match change {
        Change::Add => {
            format!("address add {address}/64 dev eth0 nodad\nroute add ::/0 via {router} dev eth0\n")
        }
        Change::Remove => {
            format!("route delete ::/0 via {router} dev eth0\naddress delete {address}/64 dev eth0\n")
        }
    };
    world.laptop()?.ip(&lines).await
}

async fn online(world: &World) -> Result<()> {
    let endpoint = world.tunnel.endpoint_route().unwrap_or_default();
    world.laptop()?.ip(&format!("{}{endpoint}", world.place.lines()?)).await
}
