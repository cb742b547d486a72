//! Where packets would leave this machine, as far as the kernel reported it.

use super::{path_evidence::PathState, route_table::RouteTable};
use crate::context::JudgeContext;
use sentinel_model::{
    ConfiguredResolver, Family, InterfaceKind, Moment, Outcome, Reason, ResolverRole, RouteOrigin,
    RoutePurpose, RouteSeen, RouteTaken, Traffic,
};
use std::{collections::BTreeSet, net::IpAddr};

/// A route that leaves outside the tunnel.
pub(super) struct OutsideRoute<'a> {
    pub destination: IpAddr,
    pub interface: &'a str,
    /// The packets it applies to, where it does not apply to all.
    pub traffic: Option<Traffic>,
    /// Who wrote the route, where it is one of its own.
    pub origin: Option<RouteOrigin>,
    /// Whether voices were reached by the same path and saw home.
    pub is_seen_open: bool,
    pub at: Moment,
}

impl RouteTable {
    /// Returns the current routes to the public internet over a family.
    ///
    /// Not included are routes to:
    /// - resolvers, which are evaluated with the DNS;
    /// - the tunnels' far ends, which are outside them, and what may yet turn out to be one;
    /// - private addresses and destinations the user excluded.
    pub(super) fn outbound_routes<'a>(
        &'a self,
        family: Family,
        context: &'a JudgeContext<'_>,
    ) -> impl Iterator<Item = (&'a RouteSeen, Moment)> {
        let far_ends = self.far_ends.find_possible(family, self.exits[family].as_ref(), context);
        self.routes
            .iter()
            .filter(move |((destination, purpose, traffic), route)| {
                // A route of its own to a resolver is evaluated with the DNS.
                let is_of_resolver = *purpose == RoutePurpose::Specific
                    && traffic.is_none()
                    && self
                        .find_route(*destination, RoutePurpose::Resolver)
                        .is_some_and(|it| context.is_current(it));
                context.is_current(route)
                    && Family::of(*destination) == family
                    && *purpose != RoutePurpose::Resolver
                    && !is_of_resolver
                    && !far_ends.contains(destination)
                    && !context.policy.is_bogon(*destination)
                    && !context.policy.expectation.excludes(*destination)
            })
            .map(|(_, route)| (&route.value, route.at))
    }

    /// Returns the outbound routes that show where traffic in general leaves: those to witnesses
    /// and to addresses spread over the space, not those looked up because they are exceptions.
    pub(super) fn general_routes<'a>(
        &'a self,
        family: Family,
        context: &'a JudgeContext<'_>,
    ) -> impl Iterator<Item = (&'a RouteSeen, Moment)> {
        let all = self.outbound_routes(family, context);
        all.filter(|(route, _)| route.purpose != RoutePurpose::Specific)
    }

    /// Returns the outbound routes that leave outside the tunnel.
    pub(super) fn routes_outside_tunnel<'a>(
        &'a self,
        family: Family,
        context: &'a JudgeContext<'_>,
    ) -> impl Iterator<Item = OutsideRoute<'a>> {
        self.outbound_routes(family, context).filter_map(move |(route, at)| {
            let taken = route.taken.measured()?;
            let is_encrypted = self.is_encrypted_by_ipsec(route.destination, taken.source);
            (!is_encrypted && self.is_outside(family, taken, context)).then_some(OutsideRoute {
                destination: route.destination,
                traffic: route.traffic,
                interface: &taken.interface,
                origin: route.origin,
                is_seen_open: self.path_state(family, taken, context) == Some(PathState::Open),
                at,
            })
        })
    }

    /// Returns the same routes, each destination once.
    pub(super) fn destinations_outside_tunnel<'a>(
        &'a self,
        family: Family,
        context: &'a JudgeContext<'_>,
    ) -> Vec<OutsideRoute<'a>> {
        let mut outside: Vec<_> = self.routes_outside_tunnel(family, context).collect();
        outside.dedup_by_key(|route| route.destination.to_canonical());
        outside
    }

    /// Returns true if the kernel has no route out over a family: every destination it was asked
    /// about is unreachable.
    pub fn is_closed(&self, family: Family, context: &JudgeContext<'_>) -> bool {
        let mut routes = self.general_routes(family, context).peekable();
        routes.peek().is_some()
            && routes.all(|(route, _)| match &route.taken {
                Outcome::Measured(taken) => taken.kind == InterfaceKind::Sink,
                Outcome::Unknown(reason) => *reason == Reason::Unreachable,
            })
    }

    /// Returns true if the kernel sends all traffic of a family into its tunnel.
    pub fn is_tunnelled(&self, family: Family, context: &JudgeContext<'_>) -> bool {
        let tunnel = self.tunnel_name(family, context.policy);
        let mut routes = self.general_routes(family, context).peekable();
        let is_inside = |(route, _): (&RouteSeen, Moment)| {
            route.taken.measured().is_some_and(|taken| Some(taken.interface.as_str()) == tunnel)
        };
        routes.peek().is_some() && routes.all(is_inside)
    }

    /// Returns the tunnel-like interface other than the tunnel by which a family leaves, where no
    /// voice has shown what it leads to.
    ///
    /// Several tunnels may be up at once, and not each of them is the VPN.
    pub fn unproven_tunnel<'a>(&'a self, family: Family, context: &'a JudgeContext<'_>) -> Option<&'a str> {
        let is_unproven = self.tunnels[family].as_ref().is_some_and(|tunnel| !tunnel.is_proven);
        // What carries IPv6 beside a tunnel that carries IPv4 is not the VPN by its looks alone.
        let of_family = if is_unproven && family == Family::V6 { Family::V4 } else { family };
        let tunnel = self.tunnel_name(of_family, context.policy)?;
        let routes = self.general_routes(family, context).filter_map(|(route, _)| route.taken.measured());
        let mut others = routes.filter(|taken| {
            taken.kind == InterfaceKind::Tunnel
                && taken.interface != tunnel
                && self.path_state(family, taken, context).is_none()
        });
        others.next().map(|taken| taken.interface.as_str())
    }

    /// Returns true if a family leaves by this physical interface, and voices see the accepted exit
    /// there.
    pub fn is_protected_uplink(&self, family: Family, interface: &str, context: &JudgeContext<'_>) -> bool {
        let mut routes = self.general_routes(family, context).filter_map(|(route, _)| route.taken.measured());
        routes.any(|taken| {
            taken.kind == InterfaceKind::Physical
                && taken.interface == interface
                && self.path_state(family, taken, context) == Some(PathState::Protected)
        })
    }

    /// Returns true if the kernel has reported in this epoch where any traffic of a family leaves.
    pub fn has_routes(&self, family: Family, context: &JudgeContext<'_>) -> bool {
        self.general_routes(family, context).any(|(route, _)| route.taken.measured().is_some())
    }

    /// Returns the far ends of the tunnels over a family.
    pub fn far_ends(&self, family: Family, context: &JudgeContext<'_>) -> BTreeSet<IpAddr> {
        self.far_ends.find(family, self.exits[family].as_ref(), context)
    }

    /// Returns true if it is not decided yet whether an address is a far end.
    pub(super) fn has_undecided_far_end(&self, family: Family, context: &JudgeContext<'_>) -> bool {
        let possible = self.far_ends.find_possible(family, self.exits[family].as_ref(), context);
        possible != self.far_ends(family, context)
    }

    /// Returns true if a host route has waited for its explanation, and nobody has looked since.
    pub fn awaits_look(&self, family: Family, context: &JudgeContext<'_>) -> bool {
        self.far_ends.awaits_look(family, context)
    }

    /// Returns the far end that each family's traffic goes to, where it is known.
    pub fn known_far_ends(&self, context: &JudgeContext<'_>) -> Vec<IpAddr> {
        let single = |family| self.far_ends.find_single(family, self.exits[family].as_ref(), context);
        Family::ALL.into_iter().filter_map(single).collect()
    }

    /// Returns the far end that is one of the user's nodes and reached outside the tunnel, if any
    /// is.
    ///
    /// Such a node sees the home line whether or not anything is wrong.
    pub fn witness_at_far_end(&self, family: Family, context: &JudgeContext<'_>) -> Option<IpAddr> {
        let tunnel = self.tunnel_name(family, context.policy);
        self.far_ends(family, context).into_iter().find(|far_end| {
            let route = self.find_route(*far_end, RoutePurpose::Witness);
            let taken =
                route.filter(|route| context.is_current(route)).and_then(|it| it.value.taken.measured());
            taken.is_some_and(|taken| Some(taken.interface.as_str()) != tunnel)
        })
    }

    /// Returns the route by which queries to a resolver leave, if it is known in this epoch.
    ///
    /// Where queries are bound to a link, it is that link, whatever the routes are; else it is what
    /// the kernel reported.
    pub fn resolver_route(
        &self,
        resolver: &ConfiguredResolver,
        context: &JudgeContext<'_>,
    ) -> Option<RouteTaken> {
        let link = resolver.bound_to();
        if let Some(link) = link
            && let Some(interfaces) = self.current_interfaces(context)
            && let Some(interface) = interfaces.iter().find(|interface| interface.name == link)
        {
            let (interface, kind) = (interface.name.clone(), interface.kind);
            return Some(RouteTaken { interface, kind, gateway: None, source: None });
        }
        let route = self.find_route(resolver.address, RoutePurpose::Resolver);
        let route = route.filter(|route| context.is_current(route))?;
        let taken = route.value.taken.measured()?;
        // The same address on two links is two servers.
        link.is_none_or(|link| link == taken.interface).then(|| taken.clone())
    }

    /// Returns where queries to a resolver leave, as far as it is known.
    pub fn resolver_path(
        &self,
        resolver: &ConfiguredResolver,
        context: &JudgeContext<'_>,
    ) -> Option<ResolverPathSeen> {
        if resolver.role == ResolverRole::ForwardedElsewhere {
            return None; // the routes of another network namespace are not this one's
        }
        let taken = self.resolver_route(resolver, context)?;
        let family = Family::of(resolver.address);
        // A private address on a bridge is this machine's own container, not the network.
        let is_own = taken.kind == InterfaceKind::Virtual && context.policy.is_bogon(resolver.address);
        let location = if taken.kind == InterfaceKind::Loopback || is_own {
            PathLocation::OwnMachine
        } else if self.is_inside(family, &taken, context)
            || self.is_encrypted_by_ipsec(resolver.address, taken.source)
        {
            PathLocation::Inside
        } else if self.is_outside(family, &taken, context) {
            PathLocation::Outside
        } else {
            PathLocation::Undetermined
        };
        Some(ResolverPathSeen { interface: taken.interface, location })
    }

    /// Returns true if packets by this route travel in the family's tunnel, or by another path that
    /// voices showed to be protected.
    fn is_inside(&self, family: Family, taken: &RouteTaken, context: &JudgeContext<'_>) -> bool {
        let is_stated = context.policy.expectation.interface.is_some();
        self.tunnel_name(family, context.policy) == Some(taken.interface.as_str())
            || (!is_stated && self.path_state(family, taken, context) == Some(PathState::Protected))
    }

    /// Returns true if packets by this route leave the machine outside the family's tunnel.
    ///
    /// - Where the user named the tunnel, every other interface is outside.
    /// - Else it is outside if voices that were reached by it saw home, or, while no voice has been
    ///   reached by it, if it is a physical interface or an uplink that does not look like a
    ///   tunnel. Another tunnel-like interface is neither inside nor outside.
    ///
    /// Packets that end on this machine leave nowhere.
    pub(super) fn is_outside(&self, family: Family, taken: &RouteTaken, context: &JudgeContext<'_>) -> bool {
        let is_dead = matches!(taken.kind, InterfaceKind::Loopback | InterfaceKind::Sink);
        if is_dead || self.is_inside(family, taken, context) {
            return false;
        }
        if context.policy.expectation.interface.is_some() {
            return true;
        }
        let is_uplink = || {
            let uplinks = self.last_uplinks().unwrap_or_default();
            uplinks.iter().any(|uplink| uplink.interface == taken.interface)
        };
        match self.path_state(family, taken, context) {
            Some(PathState::Open) => true,
            Some(PathState::Protected) => false,
            None => match taken.kind {
                InterfaceKind::Physical => true,
                InterfaceKind::Virtual => is_uplink(),
                InterfaceKind::Tunnel | InterfaceKind::Loopback | InterfaceKind::Sink => false,
            },
        }
    }
}

/// Where packets to a resolver leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResolverPathSeen {
    /// The interface.
    pub interface: String,
    /// Where it leads.
    pub location: PathLocation,
}

/// Where a path leads, seen from the tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathLocation {
    /// It ends on this machine, at a forwarder.
    OwnMachine,
    /// It is the tunnel, or a path that voices showed to be protected.
    Inside,
    /// It leaves the machine outside the tunnel.
    Outside,
    /// It is another tunnel-like interface, through which no voice was reached.
    Undetermined,
}
