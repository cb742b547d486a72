//! Which of its addresses a node gives to whom, which addresses it dials, and relay addresses.
//!
//! Addresses that the owner configured as `external` go to every member and into the membership
//! log. Addresses that merely exist on an interface may belong to the home line: a desktop or
//! home node gives out only the private ones among them.

use crate::wire;
use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};
use sentinel_model::NodeRole;
use std::net::IpAddr;

/// Returns the addresses at which members should look for this node.
pub(crate) fn for_members(external: &[Multiaddr], listening: &[Multiaddr], role: NodeRole) -> Vec<Multiaddr> {
    if !external.is_empty() {
        return bounded(external.to_vec());
    }
    let private_only = matches!(role, NodeRole::Desktop | NodeRole::Home);
    let shared = externally_usable(listening)
        .into_iter()
        .filter(|address| !private_only || ip_of(address).is_some_and(is_private));
    bounded(shared.collect())
}

/// Returns the addresses that an invitation names.
///
/// A person hands the invitation over knowingly, so it may hold every address this node listens on.
pub(crate) fn for_invitation(external: &[Multiaddr], listening: &[Multiaddr]) -> Vec<Multiaddr> {
    bounded(if external.is_empty() { externally_usable(listening) } else { external.to_vec() })
}

/// Returns the direct addresses usable from another machine, or loopback if there are no others.
fn externally_usable(listening: &[Multiaddr]) -> Vec<Multiaddr> {
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

/// Returns true if dialing this address from here makes sense.
///
/// A private address is valid only on its own network. Elsewhere, dialing it would delay the
/// connection and could reach an unrelated machine. `own` are the addresses this node listens on;
/// a node that listens on no other than loopback does not know its networks and has to try.
pub(crate) fn is_worth_dialing(address: &Multiaddr, own: &[IpAddr]) -> bool {
    match ip_of(address) {
        Some(ip) if is_private(ip) && !is_relayed(address) => {
            own.iter().all(IpAddr::is_loopback) || own.iter().any(|own| share_local_network(*own, ip))
        }
        _ => true,
    }
}

/// Returns true if both addresses are in one /24 or /64, the usual size of a local network.
///
/// Two loopback addresses always are.
fn share_local_network(one: IpAddr, other: IpAddr) -> bool {
    match (one.to_canonical(), other.to_canonical()) {
        (one, other) if one.is_loopback() && other.is_loopback() => true,
        (IpAddr::V4(one), IpAddr::V4(other)) => one.to_bits() >> 8 == other.to_bits() >> 8,
        (IpAddr::V6(one), IpAddr::V6(other)) => one.to_bits() >> 64 == other.to_bits() >> 64,
        _ => false,
    }
}

/// Returns the IP address in a multiaddress, or `None` if it holds a name.
pub(crate) fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    address.iter().find_map(|part| match part {
        Protocol::Ip4(v4) => Some(IpAddr::V4(v4)),
        Protocol::Ip6(v6) => Some(IpAddr::V6(v6)),
        _ => None,
    })
}

/// Returns true if an address leads through a relay.
pub(crate) fn is_relayed(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::P2pCircuit)
}

/// Returns the address of a circuit through a relay: to `target`, or to listen at the relay.
pub(crate) fn circuit(relay_address: &Multiaddr, relay: PeerId, target: Option<PeerId>) -> Multiaddr {
    let mut address: Multiaddr =
        relay_address.iter().filter(|part| !matches!(part, Protocol::P2p(_))).collect();
    address.push(Protocol::P2p(relay));
    address.push(Protocol::P2pCircuit);
    if let Some(target) = target {
        address.push(Protocol::P2p(target));
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<Multiaddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_desktop_never_gives_out_the_address_of_the_home_line() {
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
    fn loopback_is_given_out_when_there_is_no_other_address() {
        let listening = addresses(&["/ip4/127.0.0.1/tcp/1"]);
        assert_eq!(for_members(&[], &listening, NodeRole::Desktop), listening);
        assert_eq!(for_invitation(&[], &listening), listening);
    }

    #[test]
    fn private_addresses_are_dialed_only_on_their_own_network() {
        let own: Vec<IpAddr> = ["192.168.1.2", "127.0.0.1"].map(|text| text.parse().unwrap()).to_vec();
        let dials = |text: &str| is_worth_dialing(&text.parse().unwrap(), &own);
        assert!(
            dials("/ip4/192.168.1.9/tcp/1") && dials("/ip4/127.0.0.1/tcp/1") && dials("/ip4/192.0.2.1/tcp/1")
        );
        assert!(dials("/dns4/probe.example/tcp/1"));
        assert!(
            !dials("/ip4/192.168.7.2/tcp/1")
                && !dials("/ip4/10.64.0.2/udp/1/quic-v1")
                && !dials("/ip6/fd00::1/tcp/1")
        );
        assert!(is_worth_dialing(&"/ip4/192.168.7.2/tcp/1".parse().unwrap(), &[]));
    }
}
