//! The kernel's own word: which interfaces there are, and which way packets would go.

use super::far_end::FarEnds;
use super::recognition::RecognisedTunnel;
use crate::{
    part_result::{JudgeContext, Support},
    policy::Policy,
};
use sentinel_model::{
    ConfiguredResolver, Epoch, Evidence, Family, Interface, InterfaceKind, KillSwitch, Micros, Moment,
    Outcome, Reason, RoutePurpose, RouteSeen, TunnelView,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// How many destinations are remembered; a round looks up a few dozen.
const DESTINATIONS: usize = 256;

/// What the kernel said last.
#[derive(Clone, Debug, Default)]
pub(crate) struct RouteTable {
    pub(super) interfaces: Option<(Outcome<Vec<Interface>>, Moment, Epoch)>,
    pub(super) routes: BTreeMap<(IpAddr, RoutePurpose), (RouteSeen, Moment, Epoch)>,
    pub(super) ends: FarEnds,
    pub(super) tunnels: BTreeMap<Family, RecognisedTunnel>,
    /// Interfaces like tunnels that were up beside the tunnel while it was.
    pub(super) idle: BTreeSet<String>,
    /// Since when each interface has been up.
    up_since: BTreeMap<String, Moment>,
    /// Since when the tunnel's interface has been missing.
    pub(super) missing: Option<Moment>,
}

impl RouteTable {
    /// Takes in the list of interfaces.
    pub fn interfaces(&mut self, interfaces: &Outcome<Vec<Interface>>, at: Moment, epoch: Epoch) {
        self.interfaces = Some((interfaces.clone(), at, epoch));
        self.note_idle();
        if let Outcome::Measured(interfaces) = interfaces {
            let up: BTreeSet<&String> =
                interfaces.iter().filter(|interface| interface.up).map(|interface| &interface.name).collect();
            self.up_since.retain(|name, _| up.contains(name));
            for name in up {
                self.up_since.entry(name.clone()).or_insert(at);
            }
        }
    }

    /// Takes in one route.
    pub fn route(&mut self, route: &RouteSeen, at: Moment, epoch: Epoch) {
        let key = (route.destination.to_canonical(), route.purpose);
        self.routes.insert(key, (route.clone(), at, epoch));
        while self.routes.len() > DESTINATIONS {
            let oldest = self.routes.iter().min_by_key(|(_, (_, at, _))| at.boot).map(|(key, _)| *key);
            let Some(key) = oldest else { return };
            self.routes.remove(&key);
        }
    }

    /// Expects no tunnel until one is seen to carry traffic again: it was turned off on purpose.
    pub fn forget_tunnels(&mut self) {
        self.tunnels.clear();
        self.missing = None;
    }

    /// The tunnel's name for a family: as the user said, or as recognised. IPv6 is expected in the tunnel of IPv4, but
    /// not the other way round.
    pub fn name<'a>(&'a self, family: Family, policy: &'a Policy) -> Option<&'a str> {
        let learned = |family| self.tunnels.get(&family).map(|tunnel| tunnel.name.as_str());
        let own = policy.expectation.interface.as_deref().or_else(|| learned(family));
        if family == Family::V6 { own.or_else(|| learned(Family::V4)) } else { own }
    }

    /// Whether this family is supposed to go through a tunnel.
    pub fn expected(&self, family: Family, policy: &Policy) -> bool {
        self.name(family, policy).is_some()
    }

    /// Whether the tunnel of a family is there and up; unknown if the kernel has not said so in this epoch.
    pub fn up(&self, family: Family, context: &JudgeContext<'_>) -> Option<bool> {
        let name = self.name(family, context.policy)?;
        match &self.interfaces {
            Some((Outcome::Measured(interfaces), _, epoch)) if *epoch == context.epoch => {
                Some(interfaces.iter().any(|interface| interface.name == name && interface.up))
            }
            _ => None,
        }
    }

    /// Whether the tunnel of a family has come up only just now: a VPN client may still be at work on the rest.
    pub fn is_settling(&self, family: Family, context: &JudgeContext<'_>) -> bool {
        let up = self.name(family, context.policy).and_then(|name| self.up_since.get(name)).copied();
        let latest = up.into_iter().chain(self.recognised(family)).max_by_key(|at| at.boot);
        latest.is_some_and(|at| context.age(at) < context.policy.thresholds.settle)
    }

    /// Whether the kernel has no way out over this family: everything it was asked about is unreachable.
    pub fn closed(&self, family: Family, context: &JudgeContext<'_>) -> bool {
        let mut routes = self.global(family, context).peekable();
        routes.peek().is_some()
            && routes.all(|(route, _)| route.taken == Outcome::Unknown(Reason::Unreachable))
    }

    /// Whether the kernel sends all that goes out over this family into a tunnel.
    pub fn tunnelled(&self, family: Family, context: &JudgeContext<'_>) -> bool {
        let mut routes = self.global(family, context).peekable();
        let inside = |(route, _): (&RouteSeen, Moment)| {
            route.taken.measured().is_some_and(|taken| taken.kind == InterfaceKind::Tunnel)
        };
        routes.peek().is_some() && routes.all(inside)
    }

    /// The interface outside the tunnel by which questions to a resolver would leave, if they would.
    pub fn past_tunnel(&self, resolver: &ConfiguredResolver, context: &JudgeContext<'_>) -> Option<&str> {
        let (interface, kind) = self.to_resolver(resolver, context)?;
        // A private address on a bridge is this machine's own container, not the network.
        let own = kind == InterfaceKind::Virtual && context.policy.is_bogon(resolver.address);
        (is_outside(interface, kind, context.policy) && !own).then_some(interface)
    }

    /// Whether questions to a resolver would leave by a tunnel.
    pub fn by_tunnel(&self, resolver: &ConfiguredResolver, context: &JudgeContext<'_>) -> bool {
        self.to_resolver(resolver, context).is_some_and(|(interface, kind)| {
            kind == InterfaceKind::Tunnel && !is_outside(interface, kind, context.policy)
        })
    }

    /// The interface by which questions to a resolver leave, as far as it is known in this epoch: its own link where
    /// they are bound to one, whose name and kind do not depend on routes; else as the kernel said.
    pub fn to_resolver(
        &self,
        resolver: &ConfiguredResolver,
        context: &JudgeContext<'_>,
    ) -> Option<(&str, InterfaceKind)> {
        let link = resolver.bound_to();
        if let Some(link) = link
            && let Some((Outcome::Measured(interfaces), _, epoch)) = &self.interfaces
            && *epoch == context.epoch
            && let Some(interface) = interfaces.iter().find(|interface| interface.name == link)
        {
            return Some((&interface.name, interface.kind));
        }
        let key = (resolver.address.to_canonical(), RoutePurpose::Resolver);
        let (route, at, epoch) = self.routes.get(&key)?;
        let taken = context.stands(*at, *epoch).then(|| route.taken.measured()).flatten()?;
        // The same address on two links is two servers.
        let is_its_own = link.is_none_or(|link| link == taken.interface);
        is_its_own.then_some((taken.interface.as_str(), taken.kind))
    }

    /// What goes out into the world over a family, for one purpose or another. Resolvers are a matter of their own, and
    /// the way to the tunnel's far end leads past it.
    pub(super) fn outbound<'a>(
        &'a self,
        family: Family,
        context: &'a JudgeContext<'_>,
    ) -> impl Iterator<Item = (&'a RouteSeen, Moment)> {
        let far_end = self.far_end(family, context);
        self.routes
            .iter()
            .filter(move |((to, purpose), (_, at, epoch))| {
                context.stands(*at, *epoch)
                    && Family::of(*to) == family
                    && *purpose != RoutePurpose::Resolver
                    && Some(*to) != far_end
                    && !context.policy.is_bogon(*to)
                    && !context.policy.expectation.excludes(*to)
            })
            .map(|(_, (route, at, _))| (route, *at))
    }

    /// The same without routes that were looked for because they are exceptions: witnesses and addresses spread over the
    /// space.
    pub(super) fn global<'a>(
        &'a self,
        family: Family,
        context: &'a JudgeContext<'_>,
    ) -> impl Iterator<Item = (&'a RouteSeen, Moment)> {
        let all = self.outbound(family, context);
        all.filter(|(route, _)| route.purpose != RoutePurpose::Specific)
    }

    /// Whether the kernel has said in this epoch which way anything goes over a family.
    pub fn told(&self, family: Family, context: &JudgeContext<'_>) -> bool {
        self.global(family, context).any(|(route, _)| route.taken.measured().is_some())
    }

    /// Names the local network, so that round trips measured in one are not compared with another's.
    pub fn fingerprint(&self) -> String {
        let Some((Outcome::Measured(interfaces), ..)) = &self.interfaces else { return String::new() };
        let physical =
            interfaces.iter().filter(|interface| interface.up && interface.kind == InterfaceKind::Physical);
        let prefixes = |family| -> BTreeSet<String> {
            let nets =
                physical.clone().flat_map(|i| i.addresses.iter().map(move |net| (&i.name, net.trunc())));
            nets.filter(|(_, net)| Family::of(net.addr()) == family && !is_link_local(net.addr()))
                .map(|(name, net)| format!("{name}={net}"))
                .collect()
        };
        let v4 = prefixes(Family::V4);
        let shown = if v4.is_empty() { prefixes(Family::V6) } else { v4 };
        shown.into_iter().collect::<Vec<_>>().join(" ")
    }

    /// What the kernel says in support of a single voice.
    pub fn corroborates(&self, family: Family, context: &JudgeContext<'_>) -> Option<Support> {
        let support = |sentence, saw, at: Moment| Support {
            sentence,
            evidence: vec![Evidence { voice: None, saw, at: at.wall }],
        };
        if let Some(gone) = self.gone(family, context) {
            let at = self.interfaces.as_ref().map_or(context.now, |(_, at, _)| *at);
            return Some(support(format!("{gone}."), gone, at));
        }
        if self.up(family, context) != Some(true) {
            return None;
        }
        let leaving = self.outbound(family, context).filter_map(|(route, at)| {
            let taken = route
                .taken
                .measured()
                .filter(|taken| is_outside(&taken.interface, taken.kind, context.policy))?;
            Some((taken.interface.as_str(), route.destination, at))
        });
        let (interface, destination, at) = leaving.min_by_key(|(interface, ..)| *interface)?;
        let saw = format!("the way to {destination} leaves by {interface}");
        Some(support(format!("Packets leave by {interface}."), saw, at))
    }

    /// The tunnel as the snapshot shows it.
    pub fn view(
        &self,
        kill_switch: Option<KillSwitch>,
        underlay: Option<Micros>,
        context: &JudgeContext<'_>,
    ) -> Option<TunnelView> {
        let family = self.main_family(context.policy)?;
        let interface = self.name(family, context.policy)?.to_owned();
        let up = match &self.interfaces {
            Some((Outcome::Measured(interfaces), ..)) => {
                interfaces.iter().any(|known| known.name == interface && known.up)
            }
            _ => false,
        };
        Some(TunnelView { interface, up, kill_switch, underlay })
    }

    /// When the tunnel of a family was recognised.
    pub fn recognised(&self, family: Family) -> Option<Moment> {
        self.tunnels.get(&family).map(|tunnel| tunnel.since)
    }

    pub(super) fn main_family(&self, policy: &Policy) -> Option<Family> {
        Family::ALL.into_iter().find(|family| self.expected(*family, policy))
    }
}

/// Whether a way leads outside the tunnel: by a physical interface, and where the user named the tunnel by any other.
pub(super) fn is_outside(interface: &str, kind: InterfaceKind, policy: &Policy) -> bool {
    match &policy.expectation.interface {
        Some(tunnel) => interface != tunnel && kind != InterfaceKind::Loopback,
        None => kind == InterfaceKind::Physical,
    }
}

pub(super) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}
