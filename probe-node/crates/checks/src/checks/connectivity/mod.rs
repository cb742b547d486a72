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
/// - No interface is up that carries packets off this machine. A tunnel does not count: it stays
///   up, with its routes, when the cable below it is pulled.
/// - There is no route to any of the remote destinations.
///
/// Undetermined inputs count as online, because offline suppresses alarms and must be certain.
pub(crate) fn from_kernel(
    interfaces: &Outcome<Vec<Interface>>,
    routes: &[(RoutePurpose, Outcome<RouteTaken>)],
) -> Connectivity {
    let leaves_machine = |interface: &Interface| {
        interface.up && matches!(interface.kind, InterfaceKind::Physical | InterfaceKind::Virtual)
    };
    let isolated = interfaces.measured().is_some_and(|all| !all.iter().any(leaves_machine));
    let remote_purposes = [RoutePurpose::Witness, RoutePurpose::Spread];
    let mut remote = routes.iter().filter(|(purpose, _)| remote_purposes.contains(purpose)).peekable();
    let unreachable = remote.peek().is_some() && remote.all(|(_, taken)| leads_nowhere(taken));
    if isolated || unreachable { Connectivity::Offline } else { Connectivity::Online }
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
        assert_eq!(from_kernel(&up, &[NOWHERE, route(InterfaceKind::Tunnel)]), Connectivity::Online);
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
    fn a_route_to_a_resolver_on_this_machine_does_not_count() {
        let up = Outcome::Measured(vec![interface(InterfaceKind::Physical, true)]);
        let (_, taken) = route(InterfaceKind::Loopback);
        assert_eq!(from_kernel(&up, &[NOWHERE, (RoutePurpose::Resolver, taken)]), Connectivity::Offline);
    }

    #[test]
    fn undetermined_inputs_count_as_online() {
        let unknown = Outcome::Unknown(Reason::Unsupported);
        let route = (RoutePurpose::Spread, Outcome::Unknown(Reason::Unsupported));
        assert_eq!(from_kernel(&unknown, &[route]), Connectivity::Online);
        assert_eq!(from_kernel(&unknown, &[]), Connectivity::Online);
        assert_eq!(from_kernel(&unknown, &[NOWHERE]), Connectivity::Offline);
    }
}
