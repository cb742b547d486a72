//! The resolvers in the system configuration's dynamic store (scutil(8) shows it): those for everything, those of each
//! network service, and what each service's DHCP server offered.

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

/// More servers than any configuration has in earnest.
const MAX_RESOLVERS: usize = 16;
/// What the primary service's resolvers become.
const GLOBAL: &str = "State:/Network/Global/DNS";
/// DHCP's option 6: the domain name servers (RFC 2132).
const OPTION_6: &str = "Option_6";

/// The resolvers asked by default, then those of single services, which are asked for those services' names only, or by
/// what is bound to them.
pub(super) fn configured() -> Result<Vec<ConfiguredResolver>, Reason> {
    let store = open()?;
    let mut resolvers = Vec::new();
    if let Some(dns) = dictionary(&store, GLOBAL) {
        let interface = text(&dns, "InterfaceName");
        resolvers.extend(servers(&dns).map(|address| ConfiguredResolver {
            address,
            interface: interface.clone(),
            role: ResolverRole::First,
        }));
    }
    for service in services(&store, "DNS") {
        let Some(dns) = dictionary(&store, &format!("{service}/DNS")) else { continue };
        let interface = text(&dns, "InterfaceName").or_else(|| interface_of(&store, &service));
        for address in servers(&dns) {
            // The primary service's are those asked by default.
            if !resolvers.iter().any(|known: &ConfiguredResolver| known.address == address) {
                let (interface, role) = (interface.clone(), ResolverRole::Scoped);
                resolvers.push(ConfiguredResolver { address, interface, role });
            }
        }
    }
    resolvers.truncate(MAX_RESOLVERS);
    Ok(resolvers)
}

/// What the DHCP servers of the services in use offered, whether or not it is used.
pub(super) fn from_dhcp() -> Result<Vec<ConfiguredResolver>, Reason> {
    let store = open()?;
    let mut offered = Vec::new();
    for service in services(&store, "DHCP") {
        let Some(lease) = dictionary(&store, &format!("{service}/DHCP")) else { continue };
        let Some(data) = value(&lease, OPTION_6).and_then(|value| value.downcast::<CFData>()) else {
            continue;
        };
        let (addresses, _) = data.bytes().as_chunks::<4>();
        let interface = interface_of(&store, &service);
        offered.extend(addresses.iter().map(|octets| ConfiguredResolver {
            address: Ipv4Addr::from(*octets).into(),
            interface: interface.clone(),
            role: ResolverRole::Unspecified,
        }));
    }
    offered.truncate(MAX_RESOLVERS);
    Ok(offered)
}

fn open() -> Result<SCDynamicStore, Reason> {
    let store = SCDynamicStoreBuilder::<()>::new("vpnsentinel").build();
    store.ok_or_else(|| Reason::Failed("could not open the system configuration's dynamic store".into()))
}

/// The keys of all services that have this entity, up to its name.
fn services(store: &SCDynamicStore, entity: &str) -> Vec<String> {
    let Some(keys) = store.get_keys(format!("State:/Network/Service/[^/]+/{entity}").as_str()) else {
        return Vec::new();
    };
    let suffix = format!("/{entity}");
    let mut services: Vec<String> =
        keys.iter().filter_map(|key| Some(key.to_string().strip_suffix(&suffix)?.to_owned())).collect();
    services.sort_unstable();
    services
}

fn interface_of(store: &SCDynamicStore, service: &str) -> Option<String> {
    let of = |family: &str| text(&dictionary(store, &format!("{service}/{family}"))?, "InterfaceName");
    of("IPv4").or_else(|| of("IPv6"))
}

fn dictionary(store: &SCDynamicStore, key: &str) -> Option<CFDictionary> {
    store.get(key)?.downcast_into::<CFDictionary>()
}

fn servers(dns: &CFDictionary) -> impl Iterator<Item = IpAddr> {
    let servers = value(dns, "ServerAddresses").and_then(|value| value.downcast::<CFArray>());
    let servers: Vec<IpAddr> =
        servers.iter().flat_map(|servers| servers.iter().filter_map(|item| address(*item))).collect();
    servers.into_iter()
}

fn address(item: *const c_void) -> Option<IpAddr> {
    let server = retained(item)?.downcast::<CFString>()?.to_string();
    // A link-local server's interface follows a percent sign.
    let address: IpAddr = server.split('%').next()?.parse().ok()?;
    Some(address.to_canonical())
}

fn text(dictionary: &CFDictionary, key: &str) -> Option<String> {
    Some(value(dictionary, key)?.downcast::<CFString>()?.to_string())
}

fn value(dictionary: &CFDictionary, key: &str) -> Option<CFType> {
    let key = CFString::new(key);
    retained(*dictionary.find(key.to_void())?)
}

/// A collection's item as a value of its own.
#[allow(unsafe_code)]
fn retained(item: *const c_void) -> Option<CFType> {
    if item.is_null() {
        return None;
    }
    // SAFETY: the items of property lists, and the dynamic store holds nothing else, are Core Foundation objects. The
    // collection, which the caller still borrows, keeps this one alive until it is retained here.
    Some(unsafe { CFType::wrap_under_get_rule(item) })
}
