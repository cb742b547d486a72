//! The kernel's own word: which interfaces there are, and which way packets would go.

mod learn;
mod ruling;

use crate::{policy::Policy, ruling::Circumstances};
use learn::Tunnel;
use sentinel_model::{
    Epoch, Family, Interface, InterfaceKind, KillSwitch, Micros, Moment, Outcome, Reason, RoutePurpose,
    RouteSeen, TunnelView,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// How many destinations are remembered; a round looks up a few dozen.
const DESTINATIONS: usize = 256;

pub(crate) use learn::Sighted;

/// What the kernel said last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Paths {
    interfaces: Option<(Outcome<Vec<Interface>>, Moment, Epoch)>,
    routes: BTreeMap<IpAddr, (RouteSeen, Moment, Epoch)>,
    tunnels: BTreeMap<Family, Tunnel>,
    /// Interfaces like tunnels that were up beside the tunnel while it was.
    idle: BTreeSet<String>,
    /// Since when the tunnel's interface has been missing.
    missing: Option<Moment>,
}

impl Paths {
    /// Takes in the list of interfaces.
    pub fn interfaces(&mut self, interfaces: &Outcome<Vec<Interface>>, at: Moment, epoch: Epoch) {
        self.interfaces = Some((interfaces.clone(), at, epoch));
        self.note_idle();
    }

    /// Takes in one route.
    pub fn route(&mut self, route: &RouteSeen, at: Moment, epoch: Epoch) {
        self.routes.insert(route.destination.to_canonical(), (route.clone(), at, epoch));
        while self.routes.len() > DESTINATIONS {
            let oldest = self.routes.iter().min_by_key(|(_, (_, at, _))| at.boot).map(|(key, _)| *key);
            let Some(key) = oldest else { return };
            self.routes.remove(&key);
        }
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

    /// The physical interface by which packets to an address would leave, if they would.
    pub fn physical(&self, address: IpAddr, circumstances: &Circumstances<'_>) -> Option<&str> {
        let route = self.lookup(address, circumstances)?;
        let taken = route.taken.measured().filter(|taken| taken.kind == InterfaceKind::Physical)?;
        Some(&taken.interface)
    }

    /// Whether packets to an address would leave by a tunnel.
    pub fn by_tunnel(&self, address: IpAddr, circumstances: &Circumstances<'_>) -> bool {
        self.lookup(address, circumstances)
            .and_then(|route| route.taken.measured())
            .is_some_and(|taken| taken.kind == InterfaceKind::Tunnel)
    }

    /// Whether the way to an address is known in this epoch.
    pub fn looked_up(&self, address: IpAddr, circumstances: &Circumstances<'_>) -> bool {
        self.lookup(address, circumstances).is_some_and(|route| route.taken.measured().is_some())
    }

    fn lookup(&self, address: IpAddr, circumstances: &Circumstances<'_>) -> Option<&RouteSeen> {
        let (route, at, epoch) = self.routes.get(&address.to_canonical())?;
        circumstances.stands(*at, *epoch).then_some(route)
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
