//! Which interface is the tunnel, where the user has not said so. Not everything that looks like one is a VPN: an access
//! line may be a PPP link, and IPv6 may come through one of its own kind.

use super::route_table::{RouteTable, is_link_local};
use crate::part_result::JudgeContext;
use sentinel_model::{
    Family, Interface, InterfaceKind, Moment, Outcome, RoutePurpose, RouteSeen, RouteTaken,
};
use std::collections::{BTreeMap, BTreeSet};

/// From so many addresses spread over the space on, half of them make a tunnel; of fewer, all must go by it. A single
/// network behind a tunnel of its own is none.
const SEVERAL: usize = 4;

/// A tunnel that was seen to carry traffic.
#[derive(Clone, Debug)]
pub(super) struct RecognisedTunnel {
    pub name: String,
    pub since: Moment,
    /// Whether the world has been seen to be elsewhere through it, or it took the place of one that was known.
    proven: bool,
}

/// What the voices of this epoch say of a family's exit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ExitLocation {
    /// Nothing to go by.
    #[default]
    Nothing,
    /// All of them name home.
    Home,
    /// A quorum names something that is not home.
    Elsewhere,
}

impl RouteTable {
    /// Recognises the tunnel: the interface that carries at least half of what goes out into the world. Gives the
    /// families whose tunnel has only now been recognised.
    pub fn learn(&mut self, location: [ExitLocation; 2], context: &JudgeContext<'_>) -> Vec<Family> {
        let mut fresh = Vec::new();
        for (family, location) in Family::ALL.into_iter().zip(location) {
            let carrier = self.carrier(family, context);
            self.review(family, carrier.as_deref(), location, context);
            let Some(name) = carrier else { continue };
            let known = self.tunnels.get(&family);
            if known.is_some_and(|known| known.name == name) || !self.may_be(family, &name, location, context)
            {
                continue;
            }
            let proven = known.is_some() || location == ExitLocation::Elsewhere;
            if known.is_none() {
                fresh.push(family);
            }
            self.tunnels.insert(family, RecognisedTunnel { name, since: context.now, proven });
        }
        self.note_idle();
        fresh
    }

    /// The interface like a tunnel by which packets go out into the world.
    fn carrier(&self, family: Family, context: &JudgeContext<'_>) -> Option<String> {
        let all: Vec<&RouteSeen> = self.global(family, context).map(|(route, _)| route).collect();
        let spread = |route: &&&RouteSeen| route.purpose == RoutePurpose::Spread;
        let by_tunnel = |taken: &&RouteTaken| taken.kind == InterfaceKind::Tunnel;
        let mut carried: BTreeMap<&str, usize> = BTreeMap::new();
        for taken in all.iter().filter(spread).filter_map(|route| route.taken.measured()).filter(by_tunnel) {
            *carried.entry(taken.interface.as_str()).or_default() += 1;
        }
        let (name, count) = carried.into_iter().max_by_key(|(name, count)| (*count, *name))?;
        let asked = all.iter().filter(spread).count();
        let enough = if asked >= SEVERAL {
            count * 2 >= asked
        } else {
            all.iter().filter_map(|route| route.taken.measured()).all(|taken| taken.interface == name)
        };
        enough.then(|| name.to_owned())
    }

    /// Looks again at a tunnel nobody has yet seen the world through: voices settle what it is.
    fn review(
        &mut self,
        family: Family,
        carrier: Option<&str>,
        location: ExitLocation,
        context: &JudgeContext<'_>,
    ) {
        let Some(known) = self.tunnels.get(&family).filter(|known| !known.proven) else { return };
        if carrier != Some(known.name.as_str()) {
            return;
        }
        let name = known.name.clone();
        if location == ExitLocation::Elsewhere {
            self.tunnels.entry(family).and_modify(|known| known.proven = true);
        } else if self.leads_home(family, location, context) || self.is_access_line(&name) {
            self.tunnels.remove(&family);
        }
    }

    /// Whether an interface that carries traffic may be taken for the tunnel.
    fn may_be(&self, family: Family, name: &str, location: ExitLocation, context: &JudgeContext<'_>) -> bool {
        if self.leads_home(family, location, context) || self.is_access_line(name) {
            return false;
        }
        // What was there all along and carries traffic only now is what the tunnel ran over, or another network's,
        // unless the world is seen elsewhere through it.
        let known = self
            .tunnels
            .get(&family)
            .or_else(|| self.tunnels.get(&Family::V4).filter(|_| family == Family::V6));
        let idle = known.is_some_and(|known| known.name != name) && self.idle.contains(name);
        !idle || location == ExitLocation::Elsewhere
    }

    /// Whether the voices name home through what looks like a tunnel: nothing goes another way that they could be on.
    fn leads_home(&self, family: Family, location: ExitLocation, context: &JudgeContext<'_>) -> bool {
        let past = |taken: &RouteTaken| taken.kind == InterfaceKind::Physical;
        let mut all = self.global(family, context);
        location == ExitLocation::Home && !all.any(|(route, _)| route.taken.measured().is_some_and(past))
    }

    /// Whether an interface is the line itself: there are physical interfaces, but none of them, nor any other, has an
    /// address that its packets could travel by. A namespace with a tunnel alone in it has no physical interface.
    fn is_access_line(&self, name: &str) -> bool {
        let Some((Outcome::Measured(interfaces), ..)) = &self.interfaces else { return false };
        let beneath = |interface: &&Interface| {
            interface.name != name && interface.up && interface.kind != InterfaceKind::Loopback
        };
        let addressed =
            |interface: &Interface| interface.addresses.iter().any(|network| !is_link_local(network.addr()));
        interfaces.iter().any(|interface| interface.kind == InterfaceKind::Physical)
            && !interfaces.iter().filter(beneath).any(addressed)
    }

    /// Notes what else is up while the tunnel is.
    pub(super) fn note_idle(&mut self) {
        let Some((Outcome::Measured(interfaces), ..)) = &self.interfaces else { return };
        let known: BTreeSet<&str> = self.tunnels.values().map(|tunnel| tunnel.name.as_str()).collect();
        let up = || interfaces.iter().filter(|interface| interface.up);
        if up().any(|interface| known.contains(interface.name.as_str())) {
            self.idle = up()
                .filter(|interface| interface.kind == InterfaceKind::Tunnel)
                .map(|interface| interface.name.clone())
                .filter(|name| !known.contains(name.as_str()))
                .collect();
        }
    }
}
