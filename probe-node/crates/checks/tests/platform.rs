//! The platform against the system that the test runs on. Tests that need a network of their own
//! are in `linux.rs`.
#![cfg(any(target_os = "linux", target_os = "macos", target_os = "windows"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test helpers may panic

use sentinel_checks::{PacketKind, platform};
use sentinel_model::{InterfaceKind, Outcome};
use socket2::{Domain, Socket, Type};
use std::net::{IpAddr, Ipv4Addr};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[tokio::test]
async fn the_route_to_this_machine_is_the_loopback_interface() {
    let route = platform().unwrap().find_route(PacketKind::web(LOOPBACK)).await;
    let Outcome::Measured(taken) = route else { panic!("{route:?}") };
    assert_eq!(taken.kind, InterfaceKind::Loopback, "{taken:?}");
}

#[tokio::test]
async fn the_loopback_is_listed_with_its_address_and_so_is_the_interface_of_its_route() {
    let platform = platform().unwrap();
    let listed = platform.list_interfaces().await;
    let Outcome::Measured(interfaces) = listed else { panic!("{listed:?}") };
    let mut loopbacks = interfaces.iter().filter(|interface| interface.kind == InterfaceKind::Loopback);
    assert!(
        loopbacks.any(|it| it.up && it.addresses.iter().any(|address| address.addr() == LOOPBACK)),
        "{interfaces:?}"
    );
    let taken = platform.find_route(PacketKind::web(LOOPBACK)).await;
    let name = &taken.measured().unwrap().interface;
    assert!(interfaces.iter().any(|interface| interface.name == *name), "{name}: {interfaces:?}");
}

#[tokio::test]
async fn the_resolver_configuration_is_measured_and_changes_can_be_watched() {
    let platform = platform().unwrap();
    let config = platform.read_resolver_config().await;
    assert!(matches!(config, Outcome::Measured(_)), "{config:?}");
    assert!(platform.watch_changes().is_ok());
}

#[tokio::test]
async fn a_socket_cannot_be_bound_to_an_interface_that_does_not_exist() {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    assert!(platform().unwrap().bind_to_interface(&socket, "no-such-interface").is_err());
}

#[cfg(not(target_os = "linux"))]
#[tokio::test]
async fn a_socket_is_bound_and_a_probe_answered_on_the_loopback() {
    use sentinel_checks::Probe;
    use std::time::Duration;
    let platform = platform().unwrap();
    let taken = platform.find_route(PacketKind::web(LOOPBACK)).await;
    let name = taken.measured().unwrap().interface.clone();
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    platform.bind_to_interface(&socket, &name).unwrap();

    let port = 9; // nothing is expected to listen there
    let destination = (LOOPBACK, port).into();
    let probe = Probe { destination, interface: None, hop_limit: Some(1), budget: Duration::from_secs(2) };
    let echo = platform.send_probe(&probe).await;
    assert_eq!(echo.measured().map(|echo| echo.responder), Some(LOOPBACK), "{echo:?}");
}
