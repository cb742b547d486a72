//! Which tunnel the program's own lookups must not leave.

use sentinel_checks::ExpectedTunnel;
use sentinel_model::{Expectation, TunnelView};

/// Derives the tunnel that is expected now.
///
/// What looks like a tunnel may be the access line. It counts if the user stated its interface or
/// an exit, or if a tunnel was in use: then voices saw this machine at an address that is not home.
pub(crate) fn derive(stated: &Expectation, was_in_use: bool, shown: Option<&TunnelView>) -> ExpectedTunnel {
    let recognised = shown.map(|tunnel| &tunnel.interface);
    let is_confirmed = was_in_use || (recognised.is_some() && stated.names_exit());
    match stated.interface.as_ref().or(recognised.filter(|_| is_confirmed)) {
        Some(interface) => ExpectedTunnel::Interface(interface.clone()),
        None if was_in_use => ExpectedTunnel::Unrecognised,
        None => ExpectedTunnel::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tunnel(interface: &str) -> TunnelView {
        TunnelView { interface: interface.into(), up: true, kill_switch: None, underlay: None }
    }

    #[test]
    fn a_tunnel_is_expected_once_it_is_stated_or_was_in_use() {
        let nothing = Expectation::default();
        assert_eq!(derive(&nothing, false, None), ExpectedTunnel::None);
        assert_eq!(derive(&nothing, true, None), ExpectedTunnel::Unrecognised);
        let wg0 = ExpectedTunnel::Interface("wg0".into());
        assert_eq!(derive(&nothing, true, Some(&tunnel("wg0"))), wg0);
        let stated = Expectation { interface: Some("wg0".into()), ..Expectation::default() };
        assert_eq!(derive(&stated, false, None), wg0);
        assert_eq!(derive(&stated, true, Some(&tunnel("ppp0"))), wg0);
    }

    #[test]
    fn what_only_looks_like_a_tunnel_is_not_expected() {
        let exit = Expectation { exit_countries: vec!["SE".into()], ..Expectation::default() };
        let ppp0 = tunnel("ppp0");
        assert_eq!(derive(&Expectation::default(), false, Some(&ppp0)), ExpectedTunnel::None);
        assert_eq!(derive(&exit, false, Some(&ppp0)), ExpectedTunnel::Interface("ppp0".into()));
        assert_eq!(derive(&exit, false, None), ExpectedTunnel::None);
    }
}
