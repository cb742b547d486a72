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

/// Returns the kind of interface a link is.
///
/// `all` are all links of this network namespace, since what a bridge or a veth is depends on
/// others:
///
/// - A bridge with a network card among its ports is physical. One with ports of containers or
///   virtual machines is virtual. One whose ports all end on this machine, or without any, is a
///   sink.
/// - A veth whose other end is in another namespace may be a container's network, so it is
///   physical. One whose other end is here leads where that end leads: to its bridge, or nowhere.
/// - A TAP device that is all there is, is the Ethernet of a rootless container (slirp4netns,
///   pasta), so it is physical. Beside other links it is a tunnel.
pub(super) fn classify_link(link: &LinkMessage, all: &[LinkMessage]) -> InterfaceKind {
    classify(link, all, MAX_STEPS)
}

/// Chains of bridges and veth pairs on one machine are shorter.
const MAX_STEPS: usize = 8;

fn classify(link: &LinkMessage, all: &[LinkMessage], steps: usize) -> InterfaceKind {
    if link.header.flags.contains(LinkFlags::Loopback) {
        return InterfaceKind::Loopback;
    }
    match info_kind(link) {
        Some(InfoKind::Bridge) => classify_bridge(link, None, all, steps),
        Some(InfoKind::Veth) => match local_peer(link, all) {
            Some(peer) => classify_peer(peer, all, steps),
            None => InterfaceKind::Physical,
        },
        // A TAP device that is a port of a bridge belongs to a virtual machine, not to a VPN.
        Some(InfoKind::Tun) if controller_index(link).is_some() => InterfaceKind::Virtual,
        Some(InfoKind::Tun) if is_tap(link) && is_alone(link, all) => InterfaceKind::Physical,
        Some(kind) => classify_info_kind(kind),
        None => classify_plain_link(link),
    }
}

/// Returns true for a TAP device: a TUN driver's device that carries Ethernet frames.
fn is_tap(link: &LinkMessage) -> bool {
    info_kind(link) == Some(&InfoKind::Tun) && link.header.link_layer_type == LinkLayerType::Ether
}

/// Returns true if every other link is the loopback interface or down.
fn is_alone(link: &LinkMessage, all: &[LinkMessage]) -> bool {
    let is_up = |other: &LinkMessage| other.header.flags.contains(LinkFlags::Up);
    let is_loopback = |other: &LinkMessage| other.header.flags.contains(LinkFlags::Loopback);
    let is_listed = all.iter().any(|other| other.header.index == link.header.index);
    is_listed
        && all
            .iter()
            .all(|other| other.header.index == link.header.index || is_loopback(other) || !is_up(other))
}

/// Classifies a bridge by the ports other than the one that packets arrive by.
fn classify_bridge(
    bridge: &LinkMessage,
    arrival: Option<u32>,
    all: &[LinkMessage],
    steps: usize,
) -> InterfaceKind {
    let Some(steps) = steps.checked_sub(1) else { return InterfaceKind::Virtual };
    let is_other_port = |port: &&LinkMessage| {
        controller_index(port) == Some(bridge.header.index) && Some(port.header.index) != arrival
    };
    let mut kind = InterfaceKind::Sink;
    for port in all.iter().filter(is_other_port) {
        let is_container = info_kind(port) == Some(&InfoKind::Veth) && local_peer(port, all).is_none();
        match classify(port, all, steps) {
            InterfaceKind::Physical if !is_container => return InterfaceKind::Physical,
            InterfaceKind::Sink | InterfaceKind::Loopback => {}
            InterfaceKind::Physical | InterfaceKind::Tunnel | InterfaceKind::Virtual => {
                kind = InterfaceKind::Virtual;
            }
        }
    }
    kind
}

/// Classifies a veth by its other end, which is on this machine and in the same namespace.
fn classify_peer(peer: &LinkMessage, all: &[LinkMessage], steps: usize) -> InterfaceKind {
    let controller =
        controller_index(peer).and_then(|index| all.iter().find(|link| link.header.index == index));
    match controller {
        Some(bridge) if info_kind(bridge) == Some(&InfoKind::Bridge) => {
            classify_bridge(bridge, Some(peer.header.index), all, steps)
        }
        // A bond, VRF or switch, whose ports are not looked into.
        Some(_) => InterfaceKind::Physical,
        // VLANs and the like on top of the other end may lead on, into a container for example.
        None if all.iter().any(|link| is_stacked_on(link, peer)) => InterfaceKind::Physical,
        None => InterfaceKind::Sink,
    }
}

/// Returns the other end of a veth pair, if that is in this namespace.
fn local_peer<'a>(link: &LinkMessage, all: &'a [LinkMessage]) -> Option<&'a LinkMessage> {
    let is_elsewhere = |attribute: &LinkAttribute| matches!(attribute, LinkAttribute::LinkNetNsId(_));
    let index = lower_index(link).filter(|_| !link.attributes.iter().any(is_elsewhere))?;
    all.iter().find(|other| other.header.index == index && info_kind(other) == Some(&InfoKind::Veth))
}

fn is_stacked_on(link: &LinkMessage, lower: &LinkMessage) -> bool {
    info_kind(link) != Some(&InfoKind::Veth) && lower_index(link) == Some(lower.header.index)
}

/// Returns the index of the link below, or of the other end of a pair.
fn lower_index(link: &LinkMessage) -> Option<u32> {
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Link(index) => Some(*index),
        _ => None,
    })
}

/// Returns the kind that the driver reports, if it does.
pub(super) fn info_kind(link: &LinkMessage) -> Option<&InfoKind> {
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
        InfoKind::Dummy | InfoKind::Ifb | InfoKind::Nlmon => InterfaceKind::Sink,
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
        for sink in [InfoKind::Dummy, InfoKind::Ifb, InfoKind::Nlmon, InfoKind::Bridge] {
            assert_eq!(classify_link(&link(7, Some(sink.clone())), &[]), InterfaceKind::Sink, "{sink}");
        }
        for other in [InfoKind::Vxlan, InfoKind::Other("future".into())] {
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

    fn veth(index: u32, peer: u32) -> LinkMessage {
        let mut veth = link(index, Some(InfoKind::Veth));
        veth.attributes.push(LinkAttribute::Link(peer));
        veth
    }

    #[test]
    fn what_ends_on_this_machine_is_a_sink() {
        let pair = [veth(10, 11), veth(11, 10)];
        assert_eq!(classify_link(&pair[0], &pair), InterfaceKind::Sink);
        let mut container = pair[0].clone();
        container.attributes.push(LinkAttribute::LinkNetNsId(0));
        assert_eq!(classify_link(&container, &pair), InterfaceKind::Physical, "the peer is elsewhere");

        let bridge = link(9, Some(InfoKind::Bridge));
        let inner = [bridge.clone(), port_of(veth(10, 11), 9), veth(11, 10)];
        assert_eq!(classify_link(&bridge, &inner), InterfaceKind::Sink);
        assert_eq!(classify_link(&inner[2], &inner), InterfaceKind::Sink, "a bridge without another port");
        let wired = [&inner[..], &[port_of(link(12, None), 9)]].concat();
        assert_eq!(classify_link(&bridge, &wired), InterfaceKind::Physical);
        assert_eq!(classify_link(&inner[2], &wired), InterfaceKind::Physical, "a bridge with a wire");
        let vlan = [
            &pair[..],
            &[{
                let mut vlan = link(12, Some(InfoKind::Vlan));
                vlan.attributes.push(LinkAttribute::Link(11));
                vlan
            }],
        ]
        .concat();
        assert_eq!(classify_link(&pair[0], &vlan), InterfaceKind::Physical);
    }

    #[test]
    fn bridges_in_a_circle_are_classified() {
        let circle = [
            link(1, Some(InfoKind::Bridge)),
            link(2, Some(InfoKind::Bridge)),
            port_of(veth(10, 11), 1),
            port_of(veth(11, 10), 2),
            port_of(veth(12, 13), 1),
            port_of(veth(13, 12), 2),
        ];
        assert_ne!(classify_link(&circle[0], &circle), InterfaceKind::Physical);
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
