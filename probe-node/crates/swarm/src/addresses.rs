//! Which of its addresses a node gives to whom. What the owner states as `external` goes to every member and into the
//! log. What merely happens to be on an interface does not, if it could be the home line's: a desktop and a home node
//! tell private addresses at most.

use crate::{behaviour::is_relayed, wire};
use libp2p::{Multiaddr, multiaddr::Protocol};
use sentinel_model::NodeRole;
use std::net::IpAddr;

/// Where members are told to find this node.
pub(crate) fn for_members(external: &[Multiaddr], listening: &[Multiaddr], role: NodeRole) -> Vec<Multiaddr> {
    if !external.is_empty() {
        return bounded(external.to_vec());
    }
    let own_line = matches!(role, NodeRole::Desktop | NodeRole::Home);
    let told =
        outward(listening).into_iter().filter(|address| !own_line || ip_of(address).is_some_and(is_private));
    bounded(told.collect())
}

/// Where an invitation says to knock. The person hands it over knowingly, so every address the node listens on may be
/// in it.
pub(crate) fn for_invitation(external: &[Multiaddr], listening: &[Multiaddr]) -> Vec<Multiaddr> {
    bounded(if external.is_empty() { outward(listening) } else { external.to_vec() })
}

/// The addresses that lead here directly from another machine; loopback only if there is nothing else.
fn outward(listening: &[Multiaddr]) -> Vec<Multiaddr> {
    let direct = || listening.iter().filter(|address| !is_relayed(address)).cloned();
    let from_outside: Vec<_> =
        direct().filter(|address| !ip_of(address).is_some_and(|ip| ip.is_loopback())).collect();
    if from_outside.is_empty() { direct().collect() } else { from_outside }
}

fn bounded(mut addresses: Vec<Multiaddr>) -> Vec<Multiaddr> {
    addresses.truncate(wire::MAX_ADDRESSES);
    addresses
}

fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_loopback(),
    }
}

/// Whether dialing an address from here makes sense. A private address means something only on its own network; elsewhere
/// it would keep the dial waiting, and knock at a stranger's door. `own` are the addresses this node listens on; one that
/// listens nowhere does not know its networks and must try.
pub(crate) fn leads_somewhere(address: &Multiaddr, own: &[IpAddr]) -> bool {
    match ip_of(address) {
        Some(ip) if is_private(ip) && !is_relayed(address) => {
            own.iter().all(IpAddr::is_loopback) || own.iter().any(|own| neighbours(*own, ip))
        }
        _ => true,
    }
}

/// The same /24 or /64, the usual size of a local network; this machine itself in any case.
fn neighbours(one: IpAddr, other: IpAddr) -> bool {
    match (one.to_canonical(), other.to_canonical()) {
        (one, other) if one.is_loopback() && other.is_loopback() => true,
        (IpAddr::V4(one), IpAddr::V4(other)) => one.to_bits() >> 8 == other.to_bits() >> 8,
        (IpAddr::V6(one), IpAddr::V6(other)) => one.to_bits() >> 64 == other.to_bits() >> 64,
        _ => false,
    }
}

/// The IP address in an address, unless that is a name.
pub(crate) fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    address.iter().find_map(|part| match part {
        Protocol::Ip4(v4) => Some(IpAddr::V4(v4)),
        Protocol::Ip6(v6) => Some(IpAddr::V6(v6)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<Multiaddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_desktop_never_tells_the_home_lines_address() {
        let listening = addresses(&[
            "/ip4/127.0.0.1/tcp/7467",
            "/ip4/192.168.1.7/tcp/7467",
            "/ip6/2001:db8:51::7/tcp/7467",
            "/ip4/198.51.100.142/udp/7467/quic-v1",
        ]);
        let private = addresses(&["/ip4/192.168.1.7/tcp/7467"]);
        assert_eq!(for_members(&[], &listening, NodeRole::Desktop), private);
        assert_eq!(for_members(&[], &listening, NodeRole::Home), private);
        assert_eq!(for_members(&[], &listening, NodeRole::Probe).len(), 3);
        let external = addresses(&["/dns4/probe.example/tcp/7467"]);
        assert_eq!(for_members(&external, &listening, NodeRole::Desktop), external);
        assert_eq!(for_invitation(&[], &listening).len(), 3);
    }

    #[test]
    fn loopback_counts_when_there_is_nothing_else() {
        let listening = addresses(&["/ip4/127.0.0.1/tcp/1"]);
        assert_eq!(for_members(&[], &listening, NodeRole::Desktop), listening);
        assert_eq!(for_invitation(&[], &listening), listening);
    }

    #[test]
    fn private_addresses_are_dialed_on_their_own_network_only() {
        let own: Vec<IpAddr> = ["192.168.1.2", "127.0.0.1"].map(|text| text.parse().unwrap()).to_vec();
        let leads = |text: &str| leads_somewhere(&text.parse().unwrap(), &own);
        assert!(
            leads("/ip4/192.168.1.9/tcp/1") && leads("/ip4/127.0.0.1/tcp/1") && leads("/ip4/192.0.2.1/tcp/1")
        );
        assert!(leads("/dns4/probe.example/tcp/1"));
        assert!(
            !leads("/ip4/192.168.7.2/tcp/1")
                && !leads("/ip4/10.64.0.2/udp/1/quic-v1")
                && !leads("/ip6/fd00::1/tcp/1")
        );
        assert!(leads_somewhere(&"/ip4/192.168.7.2/tcp/1".parse().unwrap(), &[]));
    }
}
