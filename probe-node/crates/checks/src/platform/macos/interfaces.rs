//! The interfaces with their addresses, from `getifaddrs`.

use super::{kind::classify_interface, routing_message::without_scope};
use ipnet::IpNet;
use nix::{
    ifaddrs::{InterfaceAddress, getifaddrs},
    net::if_::{InterfaceFlags, if_nametoindex},
    sys::socket::SockaddrStorage,
};
use sentinel_model::{Interface, Reason};
use std::{io, net::IpAddr, num::NonZeroU32};

/// Lists all interfaces.
pub(super) fn list_interfaces() -> Result<Vec<Interface>, Reason> {
    let entries =
        getifaddrs().map_err(|error| Reason::Failed(format!("could not list the interfaces: {error}")))?;
    let mut interfaces: Vec<Interface> = Vec::new();
    for entry in entries {
        let address = parse_network(&entry);
        match interfaces.iter_mut().find(|interface| interface.name == entry.interface_name) {
            Some(interface) => interface.addresses.extend(address),
            None => interfaces.push(Interface {
                kind: classify_interface(&entry.interface_name),
                up: entry.flags.contains(InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING),
                addresses: address.into_iter().collect(),
                name: entry.interface_name,
            }),
        }
    }
    Ok(interfaces)
}

/// Returns the kernel's index of an interface.
pub(super) fn find_index(name: &str) -> io::Result<NonZeroU32> {
    let index = if_nametoindex(name).map_err(io::Error::from)?;
    NonZeroU32::new(index).ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn parse_network(entry: &InterfaceAddress) -> Option<IpNet> {
    let address = parse_ip(entry.address.as_ref()?)?;
    let mask = entry.netmask.as_ref().and_then(parse_ip);
    mask.and_then(|mask| IpNet::with_netmask(address, mask).ok()).or_else(|| Some(IpNet::from(address)))
}

fn parse_ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(without_scope(v6.ip()))))
}
