//! The resolvers in the system configuration's dynamic store, which scutil(8) shows.
//!
//! These are the default ones, those of each network service, and those offered by DHCP.

use sentinel_model::{ConfiguredResolver, Reason, ResolverRole};
use std::{
    ffi::c_void,
    net::{IpAddr, Ipv4Addr},
};
use system_configuration::{
    core_foundation::{
        array::CFArray,
        base::{CFType, TCFType, ToVoid},
        data::CFData,
        dictionary::CFDictionary,
        string::CFString,
    },
    dynamic_store::{SCDynamicStore, SCDynamicStoreBuilder},
};

/// More servers than any real configuration has.
const MAX_RESOLVERS: usize = 16;
/// The key of the default resolvers, which are those of the primary service.
const GLOBAL: &str = "State:/Network/Global/DNS";
/// DHCP option 6, the domain name servers (RFC 2132).
const OPTION_6: &str = "Option_6";

/// Lists the default resolvers, then those of single services.
///
/// The latter are asked only for their service's names, or by sockets bound to its interface.
pub(super) fn read_config() -> Result<Vec<ConfiguredResolver>, Reason> {
    let store = open_store()?;
    let mut resolvers = Vec::new();
    if let Some(dns) = get_dictionary(&store, GLOBAL) {
        let interface = get_text(&dns, "InterfaceName");
        resolvers.extend(parse_servers(&dns).map(|address| ConfiguredResolver {
            address,
            interface: interface.clone(),
            role: ResolverRole::First,
        }));
    }
    for service in list_services(&store, "DNS") {
        let Some(dns) = get_dictionary(&store, &format!("{service}/DNS")) else { continue };
        let interface = get_text(&dns, "InterfaceName").or_else(|| find_interface(&store, &service));
        for address in parse_servers(&dns) {
            // The default resolvers are listed again under the primary service.
            if !resolvers.iter().any(|listed: &ConfiguredResolver| listed.address == address) {
                let (interface, role) = (interface.clone(), ResolverRole::Scoped);
                resolvers.push(ConfiguredResolver { address, interface, role });
            }
        }
    }
    resolvers.truncate(MAX_RESOLVERS);
    Ok(resolvers)
}

/// Lists the resolvers that DHCP servers offered to the active services, whether used or not.
pub(super) fn list_dhcp_resolvers() -> Result<Vec<ConfiguredResolver>, Reason> {
    let store = open_store()?;
    let mut offered = Vec::new();
    for service in list_services(&store, "DHCP") {
        let Some(lease) = get_dictionary(&store, &format!("{service}/DHCP")) else { continue };
        let Some(data) = get_value(&lease, OPTION_6).and_then(|value| value.downcast::<CFData>()) else {
            continue;
        };
        let (addresses, _) = data.bytes().as_chunks::<4>();
        let interface = find_interface(&store, &service);
        offered.extend(addresses.iter().map(|octets| ConfiguredResolver {
            address: Ipv4Addr::from(*octets).into(),
            interface: interface.clone(),
            role: ResolverRole::Unspecified,
        }));
    }
    offered.truncate(MAX_RESOLVERS);
    Ok(offered)
}

fn open_store() -> Result<SCDynamicStore, Reason> {
    let store = SCDynamicStoreBuilder::<()>::new("vpnsentinel").build();
    store.ok_or_else(|| Reason::Failed("could not open the system configuration's dynamic store".into()))
}

/// Returns the keys of all services that have this entity, without the entity's name.
fn list_services(store: &SCDynamicStore, entity: &str) -> Vec<String> {
    let Some(keys) = store.get_keys(format!("State:/Network/Service/[^/]+/{entity}").as_str()) else {
        return Vec::new();
    };
    let suffix = format!("/{entity}");
    let mut services: Vec<String> =
        keys.iter().filter_map(|key| Some(key.to_string().strip_suffix(&suffix)?.to_owned())).collect();
    services.sort_unstable();
    services
}

fn find_interface(store: &SCDynamicStore, service: &str) -> Option<String> {
    let of =
        |family: &str| get_text(&get_dictionary(store, &format!("{service}/{family}"))?, "InterfaceName");
    of("IPv4").or_else(|| of("IPv6"))
}

fn get_dictionary(store: &SCDynamicStore, key: &str) -> Option<CFDictionary> {
    store.get(key)?.downcast_into::<CFDictionary>()
}

fn parse_servers(dns: &CFDictionary) -> impl Iterator<Item = IpAddr> {
    let servers = get_value(dns, "ServerAddresses").and_then(|value| value.downcast::<CFArray>());
    let servers: Vec<IpAddr> =
        servers.iter().flat_map(|servers| servers.iter().filter_map(|item| parse_address(*item))).collect();
    servers.into_iter()
}

fn parse_address(item: *const c_void) -> Option<IpAddr> {
    let server = retain(item)?.downcast::<CFString>()?.to_string();
    // A link-local address is followed by a percent sign and its interface.
    let address: IpAddr = server.split('%').next()?.parse().ok()?;
    Some(address.to_canonical())
}

fn get_text(dictionary: &CFDictionary, key: &str) -> Option<String> {
    Some(get_value(dictionary, key)?.downcast::<CFString>()?.to_string())
}

fn get_value(dictionary: &CFDictionary, key: &str) -> Option<CFType> {
    let key = CFString::new(key);
    retain(*dictionary.find(key.to_void())?)
}

/// Retains an item of a collection, so that it can outlive the collection.
#[allow(unsafe_code)]
fn retain(item: *const c_void) -> Option<CFType> {
    if item.is_null() {
        return None;
    }
    // SAFETY: the dynamic store holds property lists only, whose items are Core Foundation objects.
    // The caller still borrows the collection, which keeps the item alive until it is retained
    // here.
    Some(unsafe { CFType::wrap_under_get_rule(item) })
}
