//! Converts the kernel's links and addresses to the model's interfaces.

use ipnet::IpNet;
use netlink_packet_route::{
    address::{AddressAttribute, AddressMessage},
    link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage},
};
use sentinel_model::{Interface, InterfaceKind};
use std::{net::IpAddr, path::Path};

/// Builds the interface of every link, with its addresses.
pub(super) fn assemble_interfaces(links: &[LinkMessage], addresses: &[AddressMessage]) -> Vec<Interface> {
    let of_link = |index: u32| addresses.iter().filter(move |message| message.header.index == index);
    links
        .iter()
        .map(|link| Interface {
            name: link_name(link),
            kind: classify_link(link, links),
            up: is_up(link),
            addresses: of_link(link.header.index).filter_map(own_network).collect(),
        })
        .collect()
}

/// Returns the link's name.
pub(super) fn link_name(link: &LinkMessage) -> String {
    let name = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    });
    name.unwrap_or_else(|| format!("if{}", link.header.index))
}

/// Returns true if packets can pass: the link is enabled and has a carrier, where it needs one.
pub(super) fn is_up(link: &LinkMessage) -> bool {
    link.header.flags.contains(LinkFlags::Up | LinkFlags::Running)
}

/// Returns the index of the bridge, bond or VRF of which this link is a port.
pub(super) fn controller_index(link: &LinkMessage) -> Option<u32> {
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Controller(index) if *index != 0 => Some(*index),
        _ => None,
    })
}

/// Returns true if the kind of a link depends on the other links: a bridge, or a TAP device.
pub(super) fn needs_others(link: &LinkMessage) -> bool {
    is_bridge(link) || is_tap(link)
}

fn is_bridge(link: &LinkMessage) -> bool {
    info_kind(link) == Some(&InfoKind::Bridge)
}

/// Returns true for a TAP device: a TUN driver's device that carries Ethernet frames.
fn is_tap(link: &LinkMessage) -> bool {
    info_kind(link) == Some(&InfoKind::Tun) && link.header.link_layer_type == LinkLayerType::Ether
}

/// Returns the kind of interface a link is.
///
/// `others` are all links, which decide for two kinds:
///
/// - A bridge with a network card among its ports is physical. Without one it connects containers
///   or virtual machines to this host.
/// - A TAP device that is all there is, is the Ethernet of a rootless container (slirp4netns,
///   pasta), hence physical. Beside other links it is a tunnel.
pub(super) fn classify_link(link: &LinkMessage, others: &[LinkMessage]) -> InterfaceKind {
    if link.header.flags.contains(LinkFlags::Loopback) {
        return InterfaceKind::Loopback;
    }
    match info_kind(link) {
        Some(InfoKind::Bridge) => {
            let mut ports = others.iter().filter(|port| controller_index(port) == Some(link.header.index));
            let has_card = ports.any(|port| info_kind(port) != Some(&InfoKind::Veth) && is_physical(port));
            if has_card { InterfaceKind::Physical } else { InterfaceKind::Virtual }
        }
        // A TAP device that is a port of a bridge belongs to a virtual machine, not to a VPN.
        Some(InfoKind::Tun) if controller_index(link).is_some() => InterfaceKind::Virtual,
        Some(InfoKind::Tun) if is_tap(link) && is_alone(link, others) => InterfaceKind::Physical,
        Some(kind) => classify_info_kind(kind),
        None => classify_plain_link(link),
    }
}

/// Returns true if every other link is the loopback interface or down.
fn is_alone(link: &LinkMessage, others: &[LinkMessage]) -> bool {
    let is_up = |other: &LinkMessage| other.header.flags.contains(LinkFlags::Up);
    let is_loopback = |other: &LinkMessage| other.header.flags.contains(LinkFlags::Loopback);
    let is_listed = others.iter().any(|other| other.header.index == link.header.index);
    is_listed
        && others
            .iter()
            .all(|other| other.header.index == link.header.index || is_loopback(other) || !is_up(other))
}

fn is_physical(link: &LinkMessage) -> bool {
    !is_bridge(link) && classify_link(link, &[]) == InterfaceKind::Physical
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

fn classify_info_kind(kind: &InfoKind) -> InterfaceKind {
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
        InfoKind::Other(name) => classify_other(name),
        // Inside a container, one end of a veth pair is the physical network. The others here share
        // or aggregate a physical link.
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

/// Classifies the kinds that the netlink library has no name for.
fn classify_other(name: &str) -> InterfaceKind {
    match name {
        "ppp" | "ipsec" | "ovpn" | "ovpn-dco" | "amneziawg" | "l2tp" | "gtp" => InterfaceKind::Tunnel,
        _ => InterfaceKind::Virtual,
    }
}

/// Classifies a link without a kind: a hardware device, or a tunnel whose driver reports no kind.
fn classify_plain_link(link: &LinkMessage) -> InterfaceKind {
    let sysfs = Path::new("/sys/class/net").join(link_name(link));
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
        // Without link-layer addresses, a mobile modem still has a device; a tunnel has none.
        LinkLayerType::None if !sysfs.join("device").exists() => InterfaceKind::Tunnel,
        _ => InterfaceKind::Physical,
    }
}

/// Returns the interface's own address with its prefix length.
///
/// On a point-to-point link `Local` is that address, and `Address` is the peer's.
pub(super) fn own_network(message: &AddressMessage) -> Option<IpNet> {
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
    fn tunnels_physical_and_virtual_links_are_distinguished() {
        for tunnel in
            [InfoKind::Wireguard, InfoKind::Tun, InfoKind::Vti, InfoKind::Xfrm, InfoKind::Other("ppp".into())]
        {
            assert_eq!(classify_link(&link(7, Some(tunnel.clone())), &[]), InterfaceKind::Tunnel, "{tunnel}");
        }
        for physical in [InfoKind::Veth, InfoKind::Vlan, InfoKind::Bond, InfoKind::MacVlan] {
            assert_eq!(
                classify_link(&link(7, Some(physical.clone())), &[]),
                InterfaceKind::Physical,
                "{physical}"
            );
        }
        assert_eq!(classify_link(&link(7, None), &[]), InterfaceKind::Physical);
        for other in [InfoKind::Dummy, InfoKind::Bridge, InfoKind::Vxlan, InfoKind::Other("future".into())] {
            assert_eq!(classify_link(&link(7, Some(other.clone())), &[]), InterfaceKind::Virtual, "{other}");
        }
        let mut loopback = link(1, None);
        loopback.header.flags = LinkFlags::Loopback | LinkFlags::Up;
        assert_eq!(classify_link(&loopback, &[]), InterfaceKind::Loopback);
    }

    #[test]
    fn a_bridge_is_physical_only_with_a_network_card_among_its_ports() {
        let bridge = link(9, Some(InfoKind::Bridge));
        let container = port_of(link(10, Some(InfoKind::Veth)), 9);
        let machine = port_of(link(11, Some(InfoKind::Tun)), 9);
        let card = port_of(link(12, None), 9);
        assert_eq!(classify_link(&bridge, &[container.clone(), machine.clone()]), InterfaceKind::Virtual);
        assert_eq!(classify_link(&bridge, &[container, card]), InterfaceKind::Physical);
        assert_eq!(classify_link(&machine, &[]), InterfaceKind::Virtual);
    }

    #[test]
    fn a_tap_device_is_physical_only_where_it_is_all_there_is() {
        let tap = link(3, Some(InfoKind::Tun));
        let mut loopback = link(1, None);
        loopback.header.flags = LinkFlags::Loopback | LinkFlags::Up;
        let mut card = link(2, None);
        assert_eq!(
            classify_link(&tap, &[loopback.clone(), card.clone(), tap.clone()]),
            InterfaceKind::Physical
        );
        card.header.flags = LinkFlags::Up;
        assert_eq!(classify_link(&tap, &[loopback.clone(), card, tap.clone()]), InterfaceKind::Tunnel);
        let mut tun = tap.clone();
        tun.header.link_layer_type = LinkLayerType::None;
        assert_eq!(classify_link(&tun, &[loopback, tun.clone()]), InterfaceKind::Tunnel);
    }

    #[test]
    fn a_point_to_point_link_shows_its_own_end() {
        let mut message = AddressMessage::default();
        message.header.prefix_len = 32;
        message.attributes.push(AddressAttribute::Address("10.0.0.1".parse().unwrap()));
        message.attributes.push(AddressAttribute::Local("10.0.0.2".parse().unwrap()));
        assert_eq!(own_network(&message), Some("10.0.0.2/32".parse().unwrap()));
    }
}
