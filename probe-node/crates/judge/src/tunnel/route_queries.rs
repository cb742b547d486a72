//! Where packets would leave this machine, as far as the kernel reported it.

use super::route_table::RouteTable;
use crate::{context::JudgeContext, policy::Policy};
use sentinel_model::{
    ConfiguredResolver, Family, InterfaceKind, Moment, Outcome, Reason, RoutePurpose, RouteSeen,
};
use std::net::IpAddr;

/// A route that leaves outside the tunnel.
pub(super) struct OutsideRoute<'a> {
    pub destination: IpAddr,
    pub interface: &'a str,
    pub at: Moment,
}

impl RouteTable {
    /// Returns the current routes to the public internet over a family.
    ///
    /// Not included are routes to:
    /// - resolvers, which are evaluated with the DNS;
    /// - the tunnel's far end, which is outside the tunnel;
    /// - private addresses and destinations the user excluded.
    pub(super) fn outbound_routes<'a>(
        &'a self,
        family: Family,
        context: &'a JudgeContext<'_>,
    ) -> impl Iterator<Item = (&'a RouteSeen, Moment)> {
        let far_end = self.far_end(family, context);
        self.routes
            .iter()
            .filter(move |((destination, purpose), route)| {
                context.is_current(route)
                    && Family::of(*destination) == family
                    && *purpose != RoutePurpose::Resolver
                    && Some(*destination) != far_end
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
        self.outbound_routes(family, context).filter_map(|(route, at)| {
            let taken = route.taken.measured()?;
            is_outside(&taken.interface, taken.kind, context.policy).then_some(OutsideRoute {
                destination: route.destination,
                interface: &taken.interface,
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
            && routes.all(|(route, _)| route.taken == Outcome::Unknown(Reason::Unreachable))
    }

    /// Returns true if the kernel sends all traffic of a family into a tunnel.
    pub fn is_tunnelled(&self, family: Family, context: &JudgeContext<'_>) -> bool {
        let mut routes = self.general_routes(family, context).peekable();
        let is_inside = |(route, _): (&RouteSeen, Moment)| {
            route.taken.measured().is_some_and(|taken| taken.kind == InterfaceKind::Tunnel)
        };
        routes.peek().is_some() && routes.all(is_inside)
    }

    /// Returns true if the kernel has reported in this epoch where any traffic of a family leaves.
    pub fn has_routes(&self, family: Family, context: &JudgeContext<'_>) -> bool {
        self.general_routes(family, context).any(|(route, _)| route.taken.measured().is_some())
    }

    /// Returns the tunnel's far end over a family, if it is known.
    pub fn far_end(&self, family: Family, context: &JudgeContext<'_>) -> Option<IpAddr> {
        self.far_ends.find(family, context)
    }

    /// Returns the tunnel's far ends over both families.
    pub fn known_far_ends(&self, context: &JudgeContext<'_>) -> Vec<IpAddr> {
        Family::ALL.into_iter().filter_map(|family| self.far_end(family, context)).collect()
    }

    /// Returns the far end, if it is one of the user's nodes and reached outside the tunnel.
    ///
    /// Such a node sees the home line whether or not anything is wrong.
    pub fn witness_at_far_end(&self, family: Family, context: &JudgeContext<'_>) -> Option<IpAddr> {
        let far_end = self.far_end(family, context)?;
        let route = self.routes.get(&(far_end, RoutePurpose::Witness))?;
        let taken = route.value.taken.measured();
        let is_physical = taken.is_some_and(|taken| taken.kind == InterfaceKind::Physical);
        (is_physical && context.is_current(route)).then_some(far_end)
    }

    /// Returns the interface by which queries to a resolver leave, if it is known in this epoch.
    ///
    /// Where queries are bound to a link, it is that link, whose name and kind do not depend on
    /// routes; else it is the one the kernel reported.
    pub fn resolver_interface(
        &self,
        resolver: &ConfiguredResolver,
        context: &JudgeContext<'_>,
    ) -> Option<(&str, InterfaceKind)> {
        let link = resolver.bound_to();
        if let Some(link) = link
            && let Some(interfaces) = self.current_interfaces(context)
            && let Some(interface) = interfaces.iter().find(|interface| interface.name == link)
        {
            return Some((&interface.name, interface.kind));
        }
        let key = (resolver.address.to_canonical(), RoutePurpose::Resolver);
        let route = self.routes.get(&key).filter(|route| context.is_current(route))?;
        let taken = route.value.taken.measured()?;
        // The same address on two links is two servers.
        let is_its_own = link.is_none_or(|link| link == taken.interface);
        is_its_own.then_some((taken.interface.as_str(), taken.kind))
    }

    /// Returns the interface outside the tunnel by which queries to a resolver leave, if they do.
    pub fn resolver_outside_tunnel(
        &self,
        resolver: &ConfiguredResolver,
        context: &JudgeContext<'_>,
    ) -> Option<&str> {
        let (interface, kind) = self.resolver_interface(resolver, context)?;
        // A private address on a bridge is this machine's own container, not the network.
        let is_own = kind == InterfaceKind::Virtual && context.policy.is_bogon(resolver.address);
        (is_outside(interface, kind, context.policy) && !is_own).then_some(interface)
    }

    /// Returns true if queries to a resolver leave by the tunnel.
    pub fn is_resolver_in_tunnel(&self, resolver: &ConfiguredResolver, context: &JudgeContext<'_>) -> bool {
        self.resolver_interface(resolver, context).is_some_and(|(interface, kind)| {
            kind == InterfaceKind::Tunnel && !is_outside(interface, kind, context.policy)
        })
    }
}

/// Returns true if an interface leads outside the tunnel.
///
/// A physical one does; where the user named the tunnel, so does every other but loopback.
fn is_outside(interface: &str, kind: InterfaceKind, policy: &Policy) -> bool {
    match &policy.expectation.interface {
        Some(tunnel) => interface != tunnel && kind != InterfaceKind::Loopback,
        None => kind == InterfaceKind::Physical,
    }
}
