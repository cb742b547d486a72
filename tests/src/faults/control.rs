//! Positive controls: after every fault a look at the world, from where it must be seen, that has to find what the fault
//! promises. A story that must *not* be told anything would otherwise pass as well if its fault did nothing.
//!
//! The looks ask real questions ([`crate::probe`]) and have nothing to do with the programs under test, but for the clock
//! and the sleep of a node, which only the node itself can show.

mod looks;
mod service;

use super::{Change, Exit, Fault, ProviderName, Whereabouts, inject::network_of};
use crate::{plan, world::World};
use anyhow::Result;
use futures::{FutureExt, future::BoxFuture};
use looks::Sight;
use service::Service;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How long a fault may take to show.
const SOON: Duration = Duration::from_secs(3);
/// For what takes several packets that wait for one another: a new WireGuard handshake, a router advertisement.
const LATER: Duration = Duration::from_secs(12);
/// From one look to the next.
const AGAIN: Duration = Duration::from_millis(50);

/// What proves that a fault took effect.
pub(crate) enum Control {
    /// Nothing needs to be looked at, for this reason.
    Needless(&'static str),
    /// This has to be seen.
    Watch(Watch),
}

#[cfg(test)]
impl Control {
    /// Something that never shows.
    pub(crate) fn never(within: Duration) -> Self {
        let look = || async { anyhow::bail!("nothing happens") };
        Watch::new("something happens", look).within(within).into()
    }
}

/// The kernel was told by a command whose exit status was checked.
const KERNEL: Control = Control::Needless("the kernel said yes");

/// A look that is repeated until it finds what was promised.
pub(crate) struct Watch {
    pub(crate) promise: String,
    within: Duration,
    look: Box<dyn Fn() -> BoxFuture<'static, Result<()>> + Send + Sync>,
}

impl Watch {
    fn new<F>(promise: impl Into<String>, look: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        Self { promise: promise.into(), within: SOON, look: Box::new(move || look().boxed()) }
    }

    fn within(self, within: Duration) -> Self {
        Self { within, ..self }
    }

    /// Looks until it is seen, and says how long that took.
    ///
    /// # Errors
    /// It is not seen in time; the error is what was seen last instead.
    pub(crate) async fn observe(&self) -> Result<Duration> {
        let began = Instant::now();
        loop {
            match (self.look)().await {
                Ok(()) => return Ok(began.elapsed()),
                Err(error) if began.elapsed() >= self.within => {
                    return Err(error.context(format!("not seen within {:?}: {}", self.within, self.promise)));
                }
                Err(_) => sleep(AGAIN).await,
            }
        }
    }
}

impl From<Watch> for Control {
    fn from(watch: Watch) -> Self {
        Self::Watch(watch)
    }
}

/// What will have to be seen once this fault has been injected. Where the promise is silence, somebody must be heard now.
///
/// # Errors
/// The world is not one in which the fault could be told from its absence.
pub(crate) async fn of(world: &World, fault: &Fault) -> Result<Control> {
    if !world.spec.counted.is_empty() {
        return Ok(Control::Needless("a look from the laptop would be counted as its node's"));
    }
    let sight = Sight::new(world)?;
    let control: Control = match fault {
        Fault::TunnelRemoved {}
        | Fault::TunnelRestored {}
        | Fault::Offline {}
        | Fault::Online {}
        | Fault::Ipv6DefaultRoute { .. } => KERNEL,
        Fault::ServerSilent {} => sight.nobody_answers(sight.stun).await?.into(),
        Fault::ServerBack {} => sight.somebody_answers(sight.stun).within(LATER).into(),
        Fault::ResolverSwitched { to } => sight.resolver_is(to.address(), to.host()).into(),
        Fault::ExitSwitched { to: Exit::First } | Fault::ExitBack {} => sight.seen_at(plan::VPN_EXIT).into(),
        Fault::ExitSwitched { to: Exit::Second } => sight.seen_at(plan::VPN_SECOND_EXIT).into(),
        // The other server may be mute at first, and the handshake is repeated every five seconds.
        Fault::ProviderSwitched { to: ProviderName::Example } => {
            sight.seen_at(plan::VPN_EXIT).within(LATER).into()
        }
        Fault::ProviderSwitched { to: ProviderName::Other } => {
            sight.seen_at(plan::OTHER_VPN_EXIT).within(LATER).into()
        }
        Fault::ExitBecomesHome {} => sight.seen_at(plan::HOME).into(),
        Fault::Link { host, direction, delay_ms, jitter_ms, loss } => {
            sight.link(host, *direction, *delay_ms, *jitter_ms, *loss)?.within(LATER).into()
        }
        Fault::NodeCutOff { node } => sight.network_is_gone(network_of(node)?).await?.into(),
        Fault::NodeBack { node } => sight.network_is_there(network_of(node)?, None)?.into(),
        Fault::RouteOutside { prefix, change } | Fault::DhcpRoute { prefix, change } => {
            sight.leaves_by_eth0(prefix.addr(), *change).into()
        }
        Fault::PolicyRule { prefix, change } => {
            let to = prefix.map_or(plan::STUN.into(), |prefix| prefix.addr());
            sight.leaves_by_eth0(to, *change).into()
        }
        Fault::RouterAdvertisement { change: Change::Add } => {
            sight.somebody_answers(plan::STUN_V6.into()).within(LATER).into()
        }
        Fault::RouterAdvertisement { change: Change::Remove } | Fault::Ipv6Dead { change: Change::Add } => {
            sight.nobody_answers(plan::STUN_V6.into()).await?.within(LATER).into()
        }
        Fault::Ipv6Dead { change: Change::Remove } => sight.somebody_answers(plan::STUN_V6.into()).into(),
        Fault::TunnelWithoutIpv6 { change: Change::Add } => {
            sight.seen_by(plan::STUN_V6.into(), plan::LAPTOP_V6.into()).into()
        }
        Fault::TunnelWithoutIpv6 { change: Change::Remove } => {
            sight.seen_by(plan::STUN_V6.into(), plan::VPN_EXIT_V6.into()).into()
        }
        Fault::KillSwitch { change: Change::Add } => sight.bound_is_held_back().await?.into(),
        Fault::KillSwitch { change: Change::Remove } => sight.bound_gets_out().into(),
        Fault::CaptivePortal { change } => sight.portal(*change).into(),
        Fault::LaptopSuspended { .. } => sight.everything_stands_still().into(),
        Fault::ClockJumped { by_ms } => sight.clock(world, *by_ms).await?.into(),
        Fault::Roamed { to: Whereabouts::Home } => sight.has(plan::LAPTOP).into(),
        Fault::Roamed { to: Whereabouts::Cafe } => sight.has(plan::LAPTOP_AT_CAFE).into(),
        // Services and witnesses
        Fault::DnsIntercepted { by, transport, change } => sight.intercepted(*by, *transport, *change).into(),
        Fault::ResolverForwards { to } => sight.forwards(*to).into(),
        Fault::AnswersFalsified { at, with, change, .. } => {
            sight.lies(world, at.address(), *with, *change)?.into()
        }
        Fault::ServiceDown { service } => Service::of(world, service)?.falls_silent().await?.into(),
        Fault::ServiceSlow { service, ms } => Service::of(world, service)?.answers_late(*ms)?.into(),
        Fault::ServiceLies { service, address } => {
            Service::of(world, service)?.says(address.to_string()).into()
        }
        Fault::ServiceRefuses { service } => Service::of(world, service)?.says("429".to_owned()).into(),
        Fault::ServiceBabbles { service, .. } => {
            Service::of(world, service)?.says("<!doctype html>".to_owned()).into()
        }
        Fault::ServiceBack { service } => Service::of(world, service)?.recovers().into(),
        Fault::WitnessLiesAddress { node, .. } => sight.requests_are_rewritten(world, node)?.into(),
        Fault::WitnessLiesDns { node } => looks::is_lied_to(world, node, true)?.into(),
        Fault::WitnessSlow { node, ms } => sight.network_is_there(network_of(node)?, Some(*ms))?.into(),
        Fault::WitnessBack { node } => looks::is_lied_to(world, node, false)?.into(),
        Fault::NodeAsleep { node } => looks::node_is_up(world, node, false)?.into(),
        Fault::NodeAwake { node } => looks::node_is_up(world, node, true)?.into(),
    };
    Ok(control)
}
