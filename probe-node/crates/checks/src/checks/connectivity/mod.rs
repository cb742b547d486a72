//! Check "connectivity": online, offline, or behind a captive portal.
//!
//! Offline is determined here, from what the kernel reports: without an interface or a route no
//! packet gets out, so nothing can leak. Captive portals are found in [`portal`].

pub(crate) mod portal;

use sentinel_model::{Connectivity, Interface, InterfaceKind, Outcome, Reason, RoutePurpose, RouteTaken};

/// Returns whether the machine is online, from its interfaces and routes.
///
/// It is offline if one of these holds:
///
/// - There are interfaces that carry packets off this machine, and none of them is up. A tunnel
///   beside them does not count: it stays up, with its routes, when the cable below it is pulled.
/// - Nothing but the loopback interface is up.
/// - There is no route to any of the remote destinations.
///
/// Where a tunnel-like interface is all there is, it may be the access line, as a modem's PPP link
/// is, or a namespace's only way out: it counts as online. Undetermined inputs count as online too,
/// because offline suppresses alarms and must be certain.
pub(crate) fn from_kernel(
    interfaces: &Outcome<Vec<Interface>>,
    routes: &[(RoutePurpose, Outcome<RouteTaken>)],
) -> Connectivity {
    let is_isolated = interfaces.measured().is_some_and(|all| is_isolated(all));
    let remote_purposes = [RoutePurpose::Witness, RoutePurpose::Spread];
    let mut remote = routes.iter().filter(|(purpose, _)| remote_purposes.contains(purpose)).peekable();
    let unreachable = remote.peek().is_some() && remote.all(|(_, taken)| leads_nowhere(taken));
    if is_isolated || unreachable { Connectivity::Offline } else { Connectivity::Routed }
}

fn is_isolated(interfaces: &[Interface]) -> bool {
    let leads_out = |kind| matches!(kind, InterfaceKind::Physical | InterfaceKind::Virtual);
    let mut outward = interfaces.iter().filter(|interface| leads_out(interface.kind)).peekable();
    if outward.peek().is_some() {
        outward.all(|interface| !interface.up)
    } else {
        !interfaces.iter().any(|interface| interface.up && interface.kind != InterfaceKind::Loopback)
    }
}

fn leads_nowhere(taken: &Outcome<RouteTaken>) -> bool {
    match taken {
        Outcome::Measured(taken) => matches!(taken.kind, InterfaceKind::Loopback | InterfaceKind::Sink),
        Outcome::Unknown(reason) => *reason == Reason::Unreachable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(kind: InterfaceKind, up: bool) -> Interface {
        Interface { name: "x0".into(), kind, up, addresses: Vec::new() }
    }

    fn route(kind: InterfaceKind) -> (RoutePurpose, Outcome<RouteTaken>) {
        let taken = RouteTaken { interface: "x0".into(), kind, gateway: None, source: None };
        (RoutePurpose::Spread, Outcome::Measured(taken))
    }

    const NOWHERE: (RoutePurpose, Outcome<RouteTaken>) =
        (RoutePurpose::Spread, Outcome::Unknown(Reason::Unreachable));

    #[test]
    fn one_route_is_enough_and_none_is_offline() {
        let up = Outcome::Measured(vec![
            interface(InterfaceKind::Loopback, true),
            interface(InterfaceKind::Physical, true),
        ]);
        assert_eq!(from_kernel(&up, &[NOWHERE, route(InterfaceKind::Tunnel)]), Connectivity::Routed);
        assert_eq!(from_kernel(&up, &[NOWHERE, NOWHERE]), Connectivity::Offline);
        let down = Outcome::Measured(vec![
            interface(InterfaceKind::Loopback, true),
            interface(InterfaceKind::Physical, false),
        ]);
        assert_eq!(from_kernel(&down, &[route(InterfaceKind::Physical)]), Connectivity::Offline);
        let pulled = Outcome::Measured(vec![
            interface(InterfaceKind::Tunnel, true),
            interface(InterfaceKind::Physical, false),
        ]);
        assert_eq!(from_kernel(&pulled, &[route(InterfaceKind::Tunnel)]), Connectivity::Offline);
    }

    #[test]
    fn a_tunnel_that_is_all_there_is_counts_as_online() {
        let alone = [interface(InterfaceKind::Loopback, true), interface(InterfaceKind::Tunnel, true)];
        let by_tunnel = route(InterfaceKind::Tunnel);
        assert_eq!(from_kernel(&Outcome::Measured(alone.to_vec()), &[by_tunnel]), Connectivity::Routed);
        let nothing = Outcome::Measured(vec![interface(InterfaceKind::Loopback, true)]);
        assert_eq!(from_kernel(&nothing, &[]), Connectivity::Offline);
    }

    #[test]
    fn a_route_to_a_resolver_on_this_machine_does_not_count() {
        let up = Outcome::Measured(vec![interface(InterfaceKind::Physical, true)]);
        let (_, taken) = route(InterfaceKind::Loopback);
        assert_eq!(from_kernel(&up, &[NOWHERE, (RoutePurpose::Resolver, taken)]), Connectivity::Offline);
    }

    #[test]
    fn undetermined_inputs_count_as_online() {
        let unknown = Outcome::Unknown(Reason::Unsupported);
        let route = (RoutePurpose::Spread, Outcome::Unknown(Reason::Unsupported));
        assert_eq!(from_kernel(&unknown, &[route]), Connectivity::Routed);
        assert_eq!(from_kernel(&unknown, &[]), Connectivity::Routed);
        assert_eq!(from_kernel(&unknown, &[NOWHERE]), Connectivity::Offline);
    }
}
