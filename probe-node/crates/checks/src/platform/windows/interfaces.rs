//! The adapters as interfaces. Their names are those people see (`Wi-Fi`, `wg0`), not the drivers' identifiers.

use super::kind;
use ipnet::IpNet;
use netdev::{interface::types::InterfaceType, prelude::OperState};
use sentinel_model::{Interface, InterfaceKind, Reason};
use std::net::IpAddr;

/// An adapter, with what the other calls know it by.
pub(super) struct Adapter {
    /// The index of its interface, the same for both families.
    pub index: u32,
    /// The driver's identifier: a GUID in braces.
    pub guid: String,
    /// In the model's words.
    pub interface: Interface,
}

/// All adapters. Takes a few milliseconds.
pub(super) fn adapters() -> Result<Vec<Adapter>, Reason> {
    let found = netdev::get_interfaces();
    if found.is_empty() {
        // The loopback is always there.
        return Err(Reason::Failed("Windows would not list its adapters".into()));
    }
    Ok(found.into_iter().map(adapter).collect())
}

/// The adapter a person or a route means by this name or identifier.
pub(super) fn named(name: &str) -> Result<Adapter, Reason> {
    let mut all = adapters()?.into_iter();
    all.find(|adapter| adapter.interface.name == name || adapter.guid == name)
        .ok_or_else(|| Reason::Failed(format!("there is no interface called {name}")))
}

fn adapter(found: netdev::Interface) -> Adapter {
    let description = found.description.as_deref().unwrap_or_default();
    let v4 = found.ipv4.iter().copied().map(IpNet::V4);
    let addresses = v4.chain(found.ipv6.iter().copied().map(IpNet::V6)).collect();
    let interface = Interface {
        kind: kind_of(found.if_type, description),
        up: found.oper_state == OperState::Up,
        addresses,
        name: found.friendly_name.unwrap_or_else(|| found.name.clone()),
    };
    Adapter { index: found.index, guid: found.name, interface }
}

fn kind_of(if_type: InterfaceType, description: &str) -> InterfaceKind {
    let number = match if_type {
        InterfaceType::UnknownWithValue(number) => number,
        listed => listed.value(),
    };
    kind::kind(number, description)
}

/// The addresses of all interfaces.
pub(super) fn own_addresses(adapters: &[Adapter]) -> Vec<IpAddr> {
    adapters.iter().flat_map(|adapter| &adapter.interface.addresses).map(IpNet::addr).collect()
}
