//! The network adapters as interfaces.
//!
//! Their names are those that users see (`Wi-Fi`, `wg0`), not the adapters' identifiers.

use super::kind::classify_adapter;
use ipnet::IpNet;
use netdev::{interface::types::InterfaceType, prelude::OperState};
use sentinel_model::{Interface, InterfaceKind, Reason};
use std::net::IpAddr;

/// A network adapter, with its identifiers in the various system calls.
pub(super) struct Adapter {
    /// The index of its interface, which is the same for both families.
    pub index: u32,
    /// Its identifier, a GUID in braces.
    pub guid: String,
    /// The interface as the checks report it.
    pub interface: Interface,
}

/// Lists all adapters, which takes a few milliseconds.
pub(super) fn list_adapters() -> Result<Vec<Adapter>, Reason> {
    let found = netdev::get_interfaces();
    if found.is_empty() {
        // There is always a loopback adapter.
        return Err(Reason::Failed("Windows did not list its adapters".into()));
    }
    Ok(found.into_iter().map(convert_adapter).collect())
}

/// Finds the adapter of this name or identifier.
pub(super) fn find_adapter(name: &str) -> Result<Adapter, Reason> {
    let mut all = list_adapters()?.into_iter();
    all.find(|adapter| adapter.interface.name == name || adapter.guid == name)
        .ok_or_else(|| Reason::Failed(format!("there is no interface called {name}")))
}

fn convert_adapter(found: netdev::Interface) -> Adapter {
    let description = found.description.as_deref().unwrap_or_default();
    let v4 = found.ipv4.iter().copied().map(IpNet::V4);
    let addresses = v4.chain(found.ipv6.iter().copied().map(IpNet::V6)).collect();
    let interface = Interface {
        kind: classify(found.if_type, description),
        up: found.oper_state == OperState::Up,
        addresses,
        name: found.friendly_name.unwrap_or_else(|| found.name.clone()),
    };
    Adapter { index: found.index, guid: found.name, interface }
}

fn classify(if_type: InterfaceType, description: &str) -> InterfaceKind {
    let number = match if_type {
        InterfaceType::UnknownWithValue(number) => number,
        listed => listed.value(),
    };
    classify_adapter(number, description)
}

/// Returns the addresses of all adapters.
pub(super) fn own_addresses(adapters: &[Adapter]) -> Vec<IpAddr> {
    adapters.iter().flat_map(|adapter| &adapter.interface.addresses).map(IpNet::addr).collect()
}
