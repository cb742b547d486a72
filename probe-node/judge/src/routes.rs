//! The kernel's own word: which interfaces there are, and which way packets would go.

use crate::{
    policy::Policy,
    ruling::{Case, Circumstances, Ruling},
};
use sentinel_model::{
    ConfiguredResolver, Epoch, Evidence, Family, FindingKind, Interface, InterfaceKind, KillSwitch, Micros,
    Moment, Outcome, Reason, RoutePurpose, RouteSeen, Severity, TunnelView, Weight,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// How many destinations are remembered; a round looks up a few dozen.
const DESTINATIONS: usize = 256;

/// A tunnel that was seen to carry traffic.
#[derive(Clone, Debug)]
struct Tunnel {
    name: String,
    since: Moment,
}

/// Where packets go. What goes to a resolver may be bound to a link, so that it tells nothing of the route to the same
/// address for anybody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Destination {
    Resolver(IpAddr),
    Other(IpAddr),
}

impl Destination {
    fn of(address: IpAddr, purpose: RoutePurpose) -> Self {
        let address = address.to_canonical();
        if purpose == RoutePurpose::Resolver { Self::Resolver(address) } else { Self::Other(address) }
    }
}

/// What the kernel said last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Paths {
    interfaces: Option<(Outcome<Vec<Interface>>, Moment, Epoch)>,
    routes: BTreeMap<Destination, (RouteSeen, Moment, Epoch)>,
    tunnels: BTreeMap<Family, Tunnel>,
    /// Since when the tunnel's interface has been missing.
    missing: Option<Moment>,
}

impl Paths {
    /// Takes in the list of interfaces.
    pub fn interfaces(&mut self, interfaces: &Outcome<Vec<Interface>>, at: Moment, epoch: Epoch) {
        self.interfaces = Some((interfaces.clone(), at, epoch));
    }

    /// Takes in one route.
    pub fn route(&mut self, route: &RouteSeen, at: Moment, epoch: Epoch) {
        let key = Destination::of(route.destination, route.purpose);
        self.routes.insert(key, (route.clone(), at, epoch));
        while self.routes.len() > DESTINATIONS {
            let oldest = self.routes.iter().min_by_key(|(_, (_, at, _))| at.boot).map(|(key, _)| *key);
            let Some(key) = oldest else { return };
            self.routes.remove(&key);
        }
    }

    /// Recognises the tunnel: the interface that carries at least half of what goes out into the world. Gives the
    /// families whose tunnel has only now been recognised.
    pub fn learn(&mut self, circumstances: &Circumstances<'_>) -> Vec<Family> {
        let mut fresh = Vec::new();
        for family in Family::ALL {
            let global: Vec<_> = self.global(family, circumstances).collect();
            let mut carried: BTreeMap<&str, usize> = BTreeMap::new();
            for (route, _) in &global {
                if let Some(taken) =
                    route.taken.measured().filter(|taken| taken.kind == InterfaceKind::Tunnel)
                {
                    *carried.entry(taken.interface.as_str()).or_default() += 1;
                }
            }
            let Some((name, count)) = carried.into_iter().max_by_key(|(name, count)| (*count, *name)) else {
                continue;
            };
            if count * 2 < global.len() || self.tunnels.get(&family).is_some_and(|known| known.name == name) {
                continue;
            }
            if !self.tunnels.contains_key(&family) {
                fresh.push(family);
            }
            let name = name.to_owned();
            self.tunnels.insert(family, Tunnel { name, since: circumstances.now });
        }
        fresh
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
    pub fn up(&self, family: Family, circumstances: &Circumstances<'_>) -> Option<bool> {
        let name = self.name(family, circumstances.policy)?;
        match &self.interfaces {
            Some((Outcome::Measured(interfaces), _, epoch)) if *epoch == circumstances.epoch => {
                Some(interfaces.iter().any(|interface| interface.name == name && interface.up))
            }
            _ => None,
        }
    }

    /// Whether the kernel has no way out over this family: everything it was asked about is unreachable.
    pub fn closed(&self, family: Family, circumstances: &Circumstances<'_>) -> bool {
        let mut routes = self.global(family, circumstances).peekable();
        routes.peek().is_some()
            && routes.all(|(route, _)| route.taken == Outcome::Unknown(Reason::Unreachable))
    }

    /// The interface by which questions to a resolver leave, as far as it is known in this epoch: its own link where
    /// they are bound to one, whose name and kind do not depend on routes; else as the kernel said.
    pub fn to_resolver(
        &self,
        resolver: &ConfiguredResolver,
        circumstances: &Circumstances<'_>,
    ) -> Option<(&str, InterfaceKind)> {
        let link = resolver.bound_to();
        if let Some(link) = link
            && let Some((Outcome::Measured(interfaces), _, epoch)) = &self.interfaces
            && *epoch == circumstances.epoch
            && let Some(interface) = interfaces.iter().find(|interface| interface.name == link)
        {
            return Some((&interface.name, interface.kind));
        }
        let key = Destination::of(resolver.address, RoutePurpose::Resolver);
        let (route, at, epoch) = self.routes.get(&key)?;
        let taken = circumstances.stands(*at, *epoch).then(|| route.taken.measured()).flatten()?;
        // The same address on two links is two servers.
        let is_its_own = link.is_none_or(|link| link == taken.interface);
        is_its_own.then_some((taken.interface.as_str(), taken.kind))
    }

    /// What goes out into the world over a family: witnesses and addresses spread over the space.
    fn global<'a>(
        &'a self,
        family: Family,
        circumstances: &'a Circumstances<'_>,
    ) -> impl Iterator<Item = (&'a RouteSeen, Moment)> {
        self.routes
            .values()
            .filter(move |(route, at, epoch)| {
                circumstances.stands(*at, *epoch)
                    && Family::of(route.destination) == family
                    && route.purpose != RoutePurpose::Resolver
                    && !circumstances.policy.is_bogon(route.destination)
                    && !circumstances.policy.expectation.excludes(route.destination)
            })
            .map(|(route, at, _)| (route, *at))
    }

    /// Whether the kernel has said in this epoch which way anything goes over a family.
    pub fn told(&self, family: Family, circumstances: &Circumstances<'_>) -> bool {
        self.global(family, circumstances).any(|(route, _)| route.taken.measured().is_some())
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

    /// Rules on the routes of each family and on the tunnel itself.
    /// `held` says that nothing gets out past the tunnel.
    pub fn rule(&mut self, held: bool, circumstances: &Circumstances<'_>) -> Ruling {
        let mut ruling = Ruling::default();
        for family in Family::ALL {
            self.rule_routes(family, held, circumstances, &mut ruling);
        }
        let family = self.main_family(circumstances.policy);
        match family.and_then(|family| self.up(family, circumstances)) {
            Some(true) => {
                self.missing = None;
                ruling.tell(FindingKind::TunnelDown, None);
            }
            Some(false) => {
                let since =
                    *self.missing.get_or_insert(self.interfaces.as_ref().map_or(circumstances.now, |i| i.1));
                let context = held.then(|| "The kill switch holds traffic back.".to_owned());
                if let Some(case) = self.down(since, circumstances) {
                    let context = context.as_slice();
                    ruling.found.push(Case { context, ..case }.found(circumstances));
                }
            }
            None => {}
        }
        ruling
    }

    fn rule_routes(
        &self,
        family: Family,
        held: bool,
        circumstances: &Circumstances<'_>,
        ruling: &mut Ruling,
    ) {
        let global: Vec<_> = self.global(family, circumstances).collect();
        let outside: Vec<(&RouteSeen, &str, Moment)> = global
            .iter()
            .filter_map(|(route, at)| {
                let taken = route.taken.measured().filter(|taken| taken.kind == InterfaceKind::Physical)?;
                Some((*route, taken.interface.as_str(), *at))
            })
            .collect();
        let told = |(route, _): &(&RouteSeen, Moment)| {
            matches!(route.taken, Outcome::Measured(_) | Outcome::Unknown(Reason::Unreachable))
        };
        let Some((first, interface, since)) = outside.first() else {
            if !global.is_empty() && global.iter().all(told) {
                ruling.tell(FindingKind::RouteOutsideTunnel, Some(family));
            }
            return;
        };
        // Nothing goes where the routes point while a kill switch holds it back.
        if held {
            return;
        }
        // A tunnel that is gone takes its routes with it: that is a finding of its own.
        let (Some(tunnel), Some(true)) =
            (self.name(family, circumstances.policy), self.up(family, circumstances))
        else {
            return;
        };
        let more = match outside.len() - 1 {
            0 => String::new(),
            1 => " and 1 more destination".to_owned(),
            more => format!(" and {more} more destinations"),
        };
        let evidence = |(route, interface, at): &(&RouteSeen, &str, Moment)| Evidence {
            voice: None,
            saw: format!("the way to {} leaves by {interface}", route.destination),
            at: at.wall,
        };
        let case = Case {
            kind: FindingKind::RouteOutsideTunnel,
            family: Some(family),
            subject: String::new(),
            severity: Severity::Critical,
            weight: Weight::Proof,
            fact: format!("Packets to {}{more} leave by {interface} instead of {tunnel}", first.destination),
            context: &[],
            advice: "Reconnect the VPN or go offline.",
            evidence: outside.iter().take(8).map(evidence).collect(),
            since: outside.iter().map(|(_, _, at)| *at).min_by_key(|at| at.boot).unwrap_or(*since),
        };
        ruling.found.push(case.found(circumstances));
    }

    fn down<'a>(&self, since: Moment, circumstances: &Circumstances<'_>) -> Option<Case<'a>> {
        let family = self.main_family(circumstances.policy)?;
        let fact = self.gone(family, circumstances)?;
        Some(Case {
            kind: FindingKind::TunnelDown,
            family: None,
            subject: String::new(),
            severity: Severity::Warning,
            weight: Weight::Proof,
            evidence: vec![Evidence { voice: None, saw: fact.clone(), at: since.wall }],
            fact,
            context: &[],
            advice: "Reconnect the VPN or go offline.",
            since,
        })
    }

    /// `The tunnel wg0 is gone`, if it is.
    fn gone(&self, family: Family, circumstances: &Circumstances<'_>) -> Option<String> {
        if self.up(family, circumstances)? {
            return None;
        }
        let name = self.name(family, circumstances.policy)?;
        let Some((Outcome::Measured(interfaces), ..)) = &self.interfaces else { return None };
        let there = interfaces.iter().any(|interface| interface.name == name);
        Some(format!("The tunnel {name} is {}", if there { "down" } else { "gone" }))
    }

    /// What the routes say in support of a single voice, as sentences.
    pub fn corroborates(&self, family: Family, circumstances: &Circumstances<'_>) -> Vec<String> {
        if let Some(gone) = self.gone(family, circumstances) {
            return vec![format!("{gone}.")];
        }
        if self.up(family, circumstances) != Some(true) {
            return Vec::new();
        }
        let mut by: BTreeSet<&str> = BTreeSet::new();
        for (route, _) in self.global(family, circumstances) {
            by.extend(
                route
                    .taken
                    .measured()
                    .filter(|taken| taken.kind == InterfaceKind::Physical)
                    .map(|taken| taken.interface.as_str()),
            );
        }
        by.first().map(|interface| format!("Packets leave by {interface}.")).into_iter().collect()
    }

    /// The tunnel as the snapshot shows it.
    pub fn view(
        &self,
        kill_switch: Option<KillSwitch>,
        underlay: Option<Micros>,
        circumstances: &Circumstances<'_>,
    ) -> Option<TunnelView> {
        let family = self.main_family(circumstances.policy)?;
        let interface = self.name(family, circumstances.policy)?.to_owned();
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

    fn main_family(&self, policy: &Policy) -> Option<Family> {
        Family::ALL.into_iter().find(|family| self.expected(*family, policy))
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}
