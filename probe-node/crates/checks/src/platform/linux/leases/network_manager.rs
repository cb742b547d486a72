//! The leases of NetworkManager, over D-Bus (org.freedesktop.NetworkManager.DHCP4Config).
//!
//! Since version 1.20, its own DHCP client records the address alone on disk. What else the network
//! offered is found on the bus only.

use super::lease::{Lease, network_of};
use crate::platform::linux::bus::{self, Bus, Properties};
use futures::future::{join, join_all};
use std::net::IpAddr;
use zbus::{
    Connection,
    zvariant::{ObjectPath, OwnedObjectPath, OwnedValue, Value},
};

/// More devices than a machine has.
const MAX_DEVICES: usize = 64;

const SERVICE: &str = "org.freedesktop.NetworkManager";
const PATH: &str = "/org/freedesktop/NetworkManager";
const DEVICE: &str = "org.freedesktop.NetworkManager.Device";
const DHCP4: &str = "org.freedesktop.NetworkManager.DHCP4Config";
const DHCP6: &str = "org.freedesktop.NetworkManager.DHCP6Config";

/// Reads the leases of all devices; none if it is not running.
pub(crate) async fn read_leases(bus: &Bus) -> Vec<Lease> {
    match query_leases(bus).await {
        Ok(leases) => leases,
        Err(error) => {
            tracing::debug!(%error, "NetworkManager did not report its leases");
            if !matches!(error, zbus::Error::MethodError(..)) {
                bus.close();
            }
            Vec::new()
        }
    }
}

async fn query_leases(bus: &Bus) -> zbus::Result<Vec<Lease>> {
    let bus = &bus.connect().await?;
    let manager = bus::get_properties(bus, SERVICE, PATH, SERVICE).await?;
    let devices = object_paths(manager.get("Devices"));
    let leases = join_all(devices.into_iter().map(|device| async move {
        // A device may have been removed in the meantime.
        let device = bus::get_properties(bus, SERVICE, device.as_str(), DEVICE).await.ok()?;
        let interface = text(device.get("IpInterface")).or_else(|| text(device.get("Interface")))?;
        let (v4, v6) = join(
            read_options(bus, device.get("Dhcp4Config"), DHCP4),
            read_options(bus, device.get("Dhcp6Config"), DHCP6),
        )
        .await;
        let options = [v4, v6].into_iter().flatten();
        Some(options.map(|options| parse_options(&options, &interface)).collect::<Vec<_>>())
    }));
    Ok(leases.await.into_iter().flatten().flatten().collect())
}

/// Reads the options of a lease, by their names in dhclient.
async fn read_options(bus: &Connection, path: Option<&OwnedValue>, interface: &str) -> Option<Properties> {
    let path = path?.downcast_ref::<ObjectPath<'_>>().ok().filter(|path| path.as_str() != "/")?;
    let config = bus::get_properties(bus, SERVICE, path.as_str(), interface).await.ok()?;
    Properties::try_from(config.get("Options")?.try_clone().ok()?).ok()
}

fn parse_options(options: &Properties, interface: &str) -> Lease {
    let mut lease = Lease { interface: Some(interface.to_owned()), ..Lease::default() };
    let address = |name: &str| -> Option<IpAddr> { text(options.get(name))?.parse().ok() };
    for servers in ["domain_name_servers", "dhcp6_name_servers"] {
        let servers = text(options.get(servers)).unwrap_or_default();
        let servers = servers.split([' ', ',']).filter_map(|server| server.parse().ok());
        servers.for_each(|server| lease.add_server(server));
    }
    lease.networks.extend(address("ip_address").map(|v4| network_of(v4, address("subnet_mask"))));
    lease.networks.extend(address("ip6_address").map(|v6| network_of(v6, None)));
    lease.expires = text(options.get("expiry")).and_then(|expiry| expiry.parse().ok());
    lease
}

fn text(value: Option<&OwnedValue>) -> Option<String> {
    value?.downcast_ref::<&str>().ok().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn object_paths(value: Option<&OwnedValue>) -> Vec<OwnedObjectPath> {
    let items = match value.map(|value| &**value) {
        Some(Value::Array(array)) => array.inner(),
        _ => &[],
    };
    let paths = items.iter().take(MAX_DEVICES).filter_map(|item| match item {
        Value::ObjectPath(path) => Some(path.to_owned().into()),
        _ => None,
    });
    paths.collect()
}

#[cfg(test)]
// A D-Bus interface consists of methods, even without state.
#[allow(clippy::unused_self)]
mod tests {
    use super::*;
    use crate::platform::linux::test_bus::Daemon;

    fn lease(options: &[(&str, &str)]) -> Lease {
        let owned = |text: &str| OwnedValue::try_from(Value::from(text)).unwrap();
        let options = options.iter().map(|(name, value)| ((*name).to_owned(), owned(value))).collect();
        parse_options(&options, "wlan0")
    }

    #[test]
    fn options_are_read_by_their_names() {
        let v4 = lease(&[
            ("domain_name_servers", "192.168.1.1 9.9.9.9"),
            ("requested_domain_name_servers", "1"),
            ("ip_address", "192.168.1.23"),
            ("subnet_mask", "255.255.255.0"),
            ("expiry", "1764144000"),
        ]);
        assert_eq!(v4.servers.len(), 2);
        assert_eq!(v4.networks[0].to_string(), "192.168.1.23/24");
        assert_eq!(v4.expires, Some(1_764_144_000));
        let v6 = lease(&[("dhcp6_name_servers", "fe80::1 2001:db8::53"), ("ip6_address", "2001:db8::7")]);
        assert_eq!(v6.servers.len(), 2);
        assert_eq!(v6.networks[0].to_string(), "2001:db8::7/128");
        assert_eq!(lease(&[("domain_name_servers", "x")]).servers, Vec::<IpAddr>::new());
    }

    struct Manager;

    #[zbus::interface(name = "org.freedesktop.NetworkManager")]
    impl Manager {
        #[zbus(property)]
        fn devices(&self) -> Vec<OwnedObjectPath> {
            ["/wired", "/wireless", "/gone"].map(|path| OwnedObjectPath::try_from(path).unwrap()).to_vec()
        }
    }

    struct Device(&'static str, &'static str);

    #[zbus::interface(name = "org.freedesktop.NetworkManager.Device")]
    impl Device {
        #[zbus(property)]
        fn ip_interface(&self) -> &str {
            self.0
        }

        #[zbus(property, name = "Dhcp4Config")]
        fn dhcp4_config(&self) -> OwnedObjectPath {
            OwnedObjectPath::try_from(self.1).unwrap()
        }

        #[zbus(property, name = "Dhcp6Config")]
        fn dhcp6_config(&self) -> OwnedObjectPath {
            OwnedObjectPath::try_from("/").unwrap()
        }
    }

    struct Dhcp;

    #[zbus::interface(name = "org.freedesktop.NetworkManager.DHCP4Config")]
    impl Dhcp {
        #[zbus(property)]
        fn options(&self) -> Properties {
            let owned = |text: &str| OwnedValue::try_from(Value::from(text)).unwrap();
            Properties::from([
                ("domain_name_servers".to_owned(), owned("192.168.1.1")),
                ("ip_address".to_owned(), owned("192.168.1.23")),
            ])
        }
    }

    #[tokio::test]
    async fn the_leases_of_all_devices_are_read_over_a_bus() {
        let daemon = Daemon::start().await;
        let bus = Bus::at(daemon.address());
        assert_eq!(read_leases(&bus).await, [], "it is not running");
        let service = zbus::connection::Builder::address(daemon.address().as_str()).unwrap();
        let _service = service
            .serve_at(PATH, Manager)
            .unwrap()
            .serve_at("/wired", Device("eth0", "/"))
            .unwrap()
            .serve_at("/wireless", Device("wlan0", "/dhcp4"))
            .unwrap()
            .serve_at("/dhcp4", Dhcp)
            .unwrap()
            .name(SERVICE)
            .unwrap()
            .build()
            .await
            .unwrap();
        let leases = read_leases(&bus).await;
        assert_eq!(leases.len(), 1, "{leases:?}");
        assert_eq!(leases[0].interface.as_deref(), Some("wlan0"));
        assert_eq!(leases[0].servers, ["192.168.1.1".parse::<IpAddr>().unwrap()]);
    }
}
