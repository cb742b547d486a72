//! Whether there is a network at all, judged from what the kernel says: without an interface or a route nothing can
//! get out, so nothing can leak.

use sentinel_model::{Connectivity, Interface, InterfaceKind, Outcome, Reason, RoutePurpose, RouteTaken};

/// Online, unless no interface that carries packets off this machine is up or there is a way to none of the
/// destinations. A tunnel is no such interface: it stays up, with its routes, when the wire below it is pulled. What
/// cannot be told counts as online: offline suppresses alarms and must be certain.
pub(crate) fn judge(
    interfaces: &Outcome<Vec<Interface>>,
    routes: &[(RoutePurpose, Outcome<RouteTaken>)],
) -> Connectivity {
    let carries = |interface: &Interface| {
        interface.up && matches!(interface.kind, InterfaceKind::Physical | InterfaceKind::Virtual)
    };
    let isolated = interfaces.measured().is_some_and(|all| !all.iter().any(carries));
    let everywhere = [RoutePurpose::Witness, RoutePurpose::Spread];
    let mut remote = routes.iter().filter(|(purpose, _)| everywhere.contains(purpose)).peekable();
    let nowhere = remote.peek().is_some() && remote.all(|(_, taken)| is_nowhere(taken));
    if isolated || nowhere { Connectivity::Offline } else { Connectivity::Online }
}

fn is_nowhere(taken: &Outcome<RouteTaken>) -> bool {
    match taken {
        Outcome::Measured(taken) => taken.kind == InterfaceKind::Loopback,
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
    fn one_way_out_is_enough_and_none_is_offline() {
        let up = Outcome::Measured(vec![
            interface(InterfaceKind::Loopback, true),
            interface(InterfaceKind::Physical, true),
        ]);
        assert_eq!(judge(&up, &[NOWHERE, route(InterfaceKind::Tunnel)]), Connectivity::Online);
        assert_eq!(judge(&up, &[NOWHERE, NOWHERE]), Connectivity::Offline);
        let down = Outcome::Measured(vec![
            interface(InterfaceKind::Loopback, true),
            interface(InterfaceKind::Physical, false),
        ]);
        assert_eq!(judge(&down, &[route(InterfaceKind::Physical)]), Connectivity::Offline);
        let pulled = Outcome::Measured(vec![
            interface(InterfaceKind::Tunnel, true),
            interface(InterfaceKind::Physical, false),
        ]);
        assert_eq!(judge(&pulled, &[route(InterfaceKind::Tunnel)]), Connectivity::Offline);
    }

    #[test]
    fn a_resolver_on_this_machine_is_no_way_out() {
        let up = Outcome::Measured(vec![interface(InterfaceKind::Physical, true)]);
        let (_, taken) = route(InterfaceKind::Loopback);
        assert_eq!(judge(&up, &[NOWHERE, (RoutePurpose::Resolver, taken)]), Connectivity::Offline);
    }

    #[test]
    fn what_cannot_be_told_is_online() {
        let unknown = Outcome::Unknown(Reason::Unsupported);
        let route = (RoutePurpose::Spread, Outcome::Unknown(Reason::Unsupported));
        assert_eq!(judge(&unknown, &[route]), Connectivity::Online);
        assert_eq!(judge(&unknown, &[]), Connectivity::Online);
        assert_eq!(judge(&unknown, &[NOWHERE]), Connectivity::Offline);
    }
}
