//! What the kernel's links are, in the words of the model.

use ipnet::IpNet;
use netlink_packet_route::{
    address::{AddressAttribute, AddressMessage},
    link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage},
};
use sentinel_model::{Interface, InterfaceKind};
use std::{net::IpAddr, path::Path};

/// Every link with its addresses.
pub(super) fn assemble(links: &[LinkMessage], addresses: &[AddressMessage]) -> Vec<Interface> {
    let of_link = |index: u32| addresses.iter().filter(move |message| message.header.index == index);
    links
        .iter()
        .map(|link| Interface {
            name: name(link),
            kind: kind(link, links),
            up: is_up(link),
            addresses: of_link(link.header.index).filter_map(network).collect(),
        })
        .collect()
}

/// The link's name.
pub(super) fn name(link: &LinkMessage) -> String {
    let name = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    });
    name.unwrap_or_else(|| format!("if{}", link.header.index))
}

/// Whether packets can pass: switched on, and with a carrier where there is such a thing.
pub(super) fn is_up(link: &LinkMessage) -> bool {
    link.header.flags.contains(LinkFlags::Up | LinkFlags::Running)
}

/// The link this one is a port of: a bridge, a bond, a routing domain.
pub(super) fn controller(link: &LinkMessage) -> Option<u32> {
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Controller(index) if *index != 0 => Some(*index),
        _ => None,
    })
}

/// Whether it is a bridge, whose kind depends on its ports.
pub(super) fn is_bridge(link: &LinkMessage) -> bool {
    info_kind(link) == Some(&InfoKind::Bridge)
}

/// What a link is. `others` are all links, needed for a bridge only: with a network card among its ports it is the
/// wire itself, else it joins containers or virtual machines to this host.
pub(super) fn kind(link: &LinkMessage, others: &[LinkMessage]) -> InterfaceKind {
    if link.header.flags.contains(LinkFlags::Loopback) {
        return InterfaceKind::Loopback;
    }
    match info_kind(link) {
        Some(InfoKind::Bridge) => {
            let mut ports = others.iter().filter(|port| controller(port) == Some(link.header.index));
            let wired = ports.any(|port| info_kind(port) != Some(&InfoKind::Veth) && is_wire(port));
            if wired { InterfaceKind::Physical } else { InterfaceKind::Virtual }
        }
        // A TAP that is a port of a bridge is a virtual machine's card, not a VPN.
        Some(InfoKind::Tun) if controller(link).is_some() => InterfaceKind::Virtual,
        Some(kind) => of_info_kind(kind),
        None => of_plain(link),
    }
}

fn is_wire(link: &LinkMessage) -> bool {
    !is_bridge(link) && kind(link, &[]) == InterfaceKind::Physical
}

fn info_kind(link: &LinkMessage) -> Option<&InfoKind> {
    let infos = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => Some(infos),
        _ => None,
    })?;
    infos.iter().find_map(|info| match info {
        LinkInfo::Kind(kind) => Some(kind),
        _ => None,
    })
}

fn of_info_kind(kind: &InfoKind) -> InterfaceKind {
    match kind {
        InfoKind::Wireguard
        | InfoKind::Tun
        | InfoKind::IpIp
        | InfoKind::Ip6Tnl
        | InfoKind::SitTun
        | InfoKind::GreTun
        | InfoKind::GreTun6
        | InfoKind::GreTap
        | InfoKind::GreTap6
        | InfoKind::Vti
        | InfoKind::Vti6
        | InfoKind::Xfrm => InterfaceKind::Tunnel,
        InfoKind::Other(name) => of_unlisted(name),
        // In a container and in a laboratory a pair end is the wire; so are the ways to share or bundle one.
        InfoKind::Veth
        | InfoKind::Netkit
        | InfoKind::Vlan
        | InfoKind::Bond
        | InfoKind::Team
        | InfoKind::Hsr
        | InfoKind::MacSec
        | InfoKind::MacVlan
        | InfoKind::MacVtap
        | InfoKind::IpVlan
        | InfoKind::IpVtap
        | InfoKind::Ipoib
        | InfoKind::Wwan
        | InfoKind::RmNet
        | InfoKind::VirtWifi
        | InfoKind::Dsa => InterfaceKind::Physical,
        _ => InterfaceKind::Virtual,
    }
}

/// Kinds the netlink library has no name for.
fn of_unlisted(name: &str) -> InterfaceKind {
    match name {
        "ppp" | "ipsec" | "ovpn" | "ovpn-dco" | "amneziawg" | "l2tp" | "gtp" => InterfaceKind::Tunnel,
        _ => InterfaceKind::Virtual,
    }
}

/// A link without a kind is a device driver's, or a tunnel from before kinds were reported.
fn of_plain(link: &LinkMessage) -> InterfaceKind {
    let sysfs = Path::new("/sys/class/net").join(name(link));
    if sysfs.join("tun_flags").exists() {
        return InterfaceKind::Tunnel;
    }
    match link.header.link_layer_type {
        LinkLayerType::Ppp
        | LinkLayerType::Tunnel
        | LinkLayerType::Tunnel6
        | LinkLayerType::Sit
        | LinkLayerType::Ipgre
        | LinkLayerType::Ip6gre => InterfaceKind::Tunnel,
        // Neither link-layer addresses nor, unlike a mobile modem, a device: a tunnel.
        LinkLayerType::None if !sysfs.join("device").exists() => InterfaceKind::Tunnel,
        _ => InterfaceKind::Physical,
    }
}

/// The interface's own address with its prefix length. On a point-to-point link `Address` is the other end.
pub(super) fn network(message: &AddressMessage) -> Option<IpNet> {
    let mut own = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => own = Some(*address),
            AddressAttribute::Address(address) => own = own.or(Some(*address)),
            _ => {}
        }
    }
    let own: IpAddr = own?;
    IpNet::new(own, message.header.prefix_len).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, info: Option<InfoKind>) -> LinkMessage {
        let mut link = LinkMessage::default();
        link.header.index = index;
        link.header.link_layer_type = LinkLayerType::Ether;
        link.attributes.push(LinkAttribute::IfName(format!("no-such-device{index}")));
        if let Some(kind) = info {
            link.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)]));
        }
        link
    }

    fn port_of(mut link: LinkMessage, bridge: u32) -> LinkMessage {
        link.attributes.push(LinkAttribute::Controller(bridge));
        link
    }

    #[test]
    fn tunnels_wires_and_the_rest_are_told_apart() {
        for tunnel in
            [InfoKind::Wireguard, InfoKind::Tun, InfoKind::Vti, InfoKind::Xfrm, InfoKind::Other("ppp".into())]
        {
            assert_eq!(kind(&link(7, Some(tunnel.clone())), &[]), InterfaceKind::Tunnel, "{tunnel}");
        }
        for wire in [InfoKind::Veth, InfoKind::Vlan, InfoKind::Bond, InfoKind::MacVlan] {
            assert_eq!(kind(&link(7, Some(wire.clone())), &[]), InterfaceKind::Physical, "{wire}");
        }
        assert_eq!(kind(&link(7, None), &[]), InterfaceKind::Physical);
        for other in [InfoKind::Dummy, InfoKind::Bridge, InfoKind::Vxlan, InfoKind::Other("future".into())] {
            assert_eq!(kind(&link(7, Some(other.clone())), &[]), InterfaceKind::Virtual, "{other}");
        }
        let mut loopback = link(1, None);
        loopback.header.flags = LinkFlags::Loopback | LinkFlags::Up;
        assert_eq!(kind(&loopback, &[]), InterfaceKind::Loopback);
    }

    #[test]
    fn a_bridge_is_a_wire_only_with_a_network_card_in_it() {
        let bridge = link(9, Some(InfoKind::Bridge));
        let container = port_of(link(10, Some(InfoKind::Veth)), 9);
        let machine = port_of(link(11, Some(InfoKind::Tun)), 9);
        let card = port_of(link(12, None), 9);
        assert_eq!(kind(&bridge, &[container.clone(), machine.clone()]), InterfaceKind::Virtual);
        assert_eq!(kind(&bridge, &[container, card]), InterfaceKind::Physical);
        assert_eq!(kind(&machine, &[]), InterfaceKind::Virtual);
    }

    #[test]
    fn a_point_to_point_link_shows_its_own_end() {
        let mut message = AddressMessage::default();
        message.header.prefix_len = 32;
        message.attributes.push(AddressAttribute::Address("10.0.0.1".parse().unwrap()));
        message.attributes.push(AddressAttribute::Local("10.0.0.2".parse().unwrap()));
        assert_eq!(network(&message), Some("10.0.0.2/32".parse().unwrap()));
    }
}
