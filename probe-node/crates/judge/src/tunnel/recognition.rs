//! Which interface is the tunnel, where the user has not named it.
//!
//! Not every interface that looks like a tunnel is a VPN: an access line may be a PPP link, and
//! IPv6 may arrive through a tunnel of its own kind. The interface is therefore recognised by the
//! traffic it carries, and confirmed by what voices see through it.

use super::{
    path_evidence::PathState,
    route_table::{RecognisedTunnel, RouteTable},
};
use crate::context::JudgeContext;
use sentinel_model::{
    Attributed, Family, Interface, InterfaceKind, PerFamily, RoutePurpose, RouteSeen, Uplink, is_link_local,
};
use std::collections::BTreeMap;

/// From how many addresses spread over the space half of them make a tunnel; of fewer, all must.
///
/// A single network that is reached through a tunnel of its own does not make one.
const SEVERAL: usize = 4;

/// Where the voices of this epoch locate a family's exit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ExitLocation {
    /// Undetermined.
    #[default]
    Undetermined,
    /// All voices name home, or the operator of this machine's own access line.
    Line,
    /// A quorum names an exit that is neither.
    Elsewhere,
}

impl RouteTable {
    /// Recognises each family's tunnel: the interface that carries at least half of its traffic.
    ///
    /// Returns the families that had no tunnel before.
    pub fn recognise_tunnels(
        &mut self,
        locations: PerFamily<ExitLocation>,
        context: &JudgeContext<'_>,
    ) -> Vec<Family> {
        let mut new = Vec::new();
        for (family, location) in locations.with_family() {
            let carrier = self.carrier(family, context);
            self.review(family, carrier.as_deref(), location, context);
            let Some(name) = carrier else { continue };
            let known = self.tunnels[family].as_ref();
            let is_known = known.is_some_and(|known| known.name == name);
            if is_known || !self.may_be_tunnel(family, &name, location, context) {
                continue;
            }
            let is_proven = known.is_some() || location == ExitLocation::Elsewhere;
            if known.is_none() {
                new.push(family);
            }
            self.tunnels[family] = Some(RecognisedTunnel { name, since: context.now, is_proven });
        }
        self.update_idle();
        new
    }

    /// Returns the tunnel-like interface that carries a family's traffic, if one does.
    fn carrier(&self, family: Family, context: &JudgeContext<'_>) -> Option<String> {
        let all: Vec<&RouteSeen> = self.general_routes(family, context).map(|(route, _)| route).collect();
        let spread = || all.iter().filter(|route| route.purpose == RoutePurpose::Spread);
        let mut carried: BTreeMap<&str, usize> = BTreeMap::new();
        let taken = spread().filter_map(|route| route.taken.measured());
        for taken in taken.filter(|taken| taken.kind == InterfaceKind::Tunnel) {
            *carried.entry(taken.interface.as_str()).or_default() += 1;
        }
        let (name, count) = carried.into_iter().max_by_key(|(name, count)| (*count, *name))?;
        let total = spread().count();
        let is_enough = if total >= SEVERAL {
            count * 2 >= total
        } else {
            all.iter().filter_map(|route| route.taken.measured()).all(|taken| taken.interface == name)
        };
        is_enough.then(|| name.to_owned())
    }

    /// Confirms or drops a tunnel that is not proven yet, by what voices see through it.
    fn review(
        &mut self,
        family: Family,
        carrier: Option<&str>,
        location: ExitLocation,
        context: &JudgeContext<'_>,
    ) {
        let Some(known) = self.tunnels[family].as_ref().filter(|known| !known.is_proven) else { return };
        if carrier != Some(known.name.as_str()) {
            return;
        }
        if location == ExitLocation::Elsewhere {
            if let Some(known) = &mut self.tunnels[family] {
                known.is_proven = true;
            }
        } else if self.is_line(family, &known.name, location, context) {
            self.tunnels[family] = None;
        }
    }

    /// Returns true if an interface that carries traffic may be the tunnel.
    fn may_be_tunnel(
        &self,
        family: Family,
        name: &str,
        location: ExitLocation,
        context: &JudgeContext<'_>,
    ) -> bool {
        if self.is_line(family, name, location, context) {
            return false;
        }
        // An interface that was up beside the tunnel and carries traffic only now is what the
        // tunnel ran over, or leads to another network, unless voices see another exit through it.
        let v4 = self.tunnels.v4.as_ref().filter(|_| family == Family::V6);
        let known = self.tunnels[family].as_ref().or(v4);
        let was_idle = known.is_some_and(|known| known.name != name) && self.idle.contains(name);
        !was_idle || location == ExitLocation::Elsewhere
    }

    /// Returns true if what looks like a tunnel is the access line, or leads to it.
    fn is_line(
        &self,
        family: Family,
        name: &str,
        location: ExitLocation,
        context: &JudgeContext<'_>,
    ) -> bool {
        self.leads_to_line(family, name, location, context)
            || self.is_known_line(family, name, context)
            || self.is_only_uplink(name)
    }

    /// Returns true if voices see the access line, and all their packets left by this interface.
    fn leads_to_line(
        &self,
        family: Family,
        name: &str,
        location: ExitLocation,
        context: &JudgeContext<'_>,
    ) -> bool {
        let mut routes = self.general_routes(family, context);
        location == ExitLocation::Line
            && routes.all(|(route, _)| route.taken.measured().is_none_or(|taken| taken.interface == name))
    }

    /// Returns true if voices that were reached by this interface saw home.
    fn is_known_line(&self, family: Family, name: &str, context: &JudgeContext<'_>) -> bool {
        let mut routes = self.general_routes(family, context).filter_map(|(route, _)| route.taken.measured());
        let taken = routes.find(|taken| taken.interface == name);
        taken.and_then(|taken| self.path_state(family, taken, context)) == Some(PathState::Open)
    }

    /// Returns true if there is no other interface by which the packets of this one could travel.
    ///
    /// A namespace that contains only a tunnel has no physical interface, so its tunnel is not
    /// mistaken for the access line. Where the uplinks are not reported, any other interface with
    /// an address counts as one.
    fn is_only_uplink(&self, name: &str) -> bool {
        let Some(interfaces) = self.last_interfaces() else { return false };
        let may_carry = |interface: &&Interface| {
            interface.name != name && interface.up && interface.kind != InterfaceKind::Loopback
        };
        let leads_out = |interface: &Interface| match self.last_uplinks() {
            Some(uplinks) => uplinks.iter().any(|uplink| uplink.interface == interface.name),
            None => interface.addresses.iter().any(|network| !is_link_local(network.addr())),
        };
        interfaces.iter().any(|interface| interface.kind == InterfaceKind::Physical)
            && !interfaces.iter().filter(may_carry).any(leads_out)
    }

    /// Returns true if something says that a family's tunnel is a VPN.
    ///
    /// That is so if
    /// - the user stated it, or a VPN was in use before;
    /// - voices saw another exit than the access line's through it;
    /// - a far end of its own is known.
    pub fn is_vpn(&self, family: Family, context: &JudgeContext<'_>) -> bool {
        let is_proven = |family| self.tunnels[family].as_ref().is_some_and(|tunnel| tunnel.is_proven);
        context.policy.expects_something()
            || is_proven(family)
            || (family == Family::V6 && is_proven(Family::V4))
            || Family::ALL.into_iter().any(|family| !self.far_ends(family, context).is_empty())
    }

    /// Returns whether an exit belongs to the operator of this machine's own access line.
    ///
    /// The line's operator is that of a public address on a physical uplink. Returns `None` if
    /// there is no such address, or either operator is unknown.
    pub fn is_exit_of_line(&self, exit: &Attributed) -> Option<bool> {
        let owner = exit.owner.as_ref()?;
        let is_physical = |uplink: &&Uplink| {
            let interfaces = self.last_interfaces().unwrap_or_default();
            interfaces.iter().any(|known| {
                known.name == uplink.interface && known.up && known.kind == InterfaceKind::Physical
            })
        };
        let lines = self.last_uplinks()?.iter().filter(is_physical);
        let owners: Vec<_> = lines
            .flat_map(|uplink| &uplink.public_addresses)
            .filter_map(|address| address.owner.as_ref())
            .collect();
        (!owners.is_empty()).then(|| owners.iter().any(|line| line.same_operator(owner)))
    }
}
