//! Samples of the routing tables and lookups against the kernel, in network namespaces of the
//! tests.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test helpers may panic

mod support;

use sentinel_checks::{PacketKind, Platform, RouteSample, platform};
use sentinel_model::{
    InterfaceKind, IpsecAction, Outcome, Reason, RouteOrigin, RouteTaken, Traffic, Transport,
};
use std::{
    fmt::Write as _,
    fs,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use support::{
    because,
    namespace::{in_namespace, ip, try_ip},
};

/// A laptop whose traffic goes through `tun0`, which a file keeps open.
fn tunnel() -> tun_rs::SyncDevice {
    let device = tun_rs::DeviceBuilder::new().name("tun0").build_sync().expect("/dev/net/tun can be used");
    ip("link set tun0 up");
    ip("addr add 10.8.0.2/24 dev tun0");
    ip("route add default via 192.0.2.1");
    ip("-6 route add default via 2001:db8:1::1");
    for half in ["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"] {
        let family = if half.contains(':') { "-6" } else { "-4" };
        ip(&format!("{family} route add {half} dev tun0"));
    }
    device
}

/// The samples whose packets leave by `eth0`, with their routes.
async fn outside(platform: &Arc<dyn Platform>) -> Vec<(RouteSample, RouteTaken)> {
    let samples = platform.sample_routes().await;
    let samples = samples.measured().unwrap_or_else(|| panic!("{samples:?}"));
    let packets: Vec<PacketKind> = samples.iter().map(|sample| sample.packet).collect();
    let routes = platform.find_routes(&packets).await;
    let taken =
        samples.iter().zip(routes).filter_map(|(sample, route)| Some((*sample, route.measured()?.clone())));
    taken.filter(|(_, taken)| taken.interface == "eth0").collect()
}

/// Asserts that a packet inside each of these networks, and to none else, leaves by `eth0`.
async fn assert_outside(platform: &Arc<dyn Platform>, networks: &[&str]) {
    let found = outside(platform).await;
    let networks: Vec<ipnet::IpNet> = networks.iter().map(|text| text.parse().unwrap()).collect();
    for network in &networks {
        let is_inside =
            |(sample, _): &(RouteSample, RouteTaken)| network.contains(&sample.packet.destination);
        assert!(found.iter().any(is_inside), "{network} is not among {found:?}");
    }
    for (sample, _) in &found {
        let destination = sample.packet.destination;
        assert!(
            networks.iter().any(|network| network.contains(&destination)),
            "{destination} is not outside"
        );
    }
}

fn origin(found: &[(RouteSample, RouteTaken)], destination: &str) -> Option<RouteOrigin> {
    let destination: IpAddr = destination.parse().unwrap();
    let (sample, _) = found.iter().find(|(sample, _)| sample.packet.destination == destination)?;
    sample.origin
}

#[test]
fn hosts_and_networks_past_the_tunnel_are_found_whoever_wrote_their_routes() {
    in_namespace(async || {
        let _tunnel = tunnel();
        let platform = platform().unwrap();
        assert_outside(&platform, &[]).await;
        for (number, protocol) in
            ["boot", "static", "dhcp", "ra", "redirect", "kernel", "99"].iter().enumerate()
        {
            ip(&format!("route add 203.0.113.{number}/32 via 192.0.2.1 proto {protocol}"));
            ip(&format!("-6 route add 2001:db8:9::{number}/128 via 2001:db8:1::1 proto {protocol}"));
        }
        ip("route add 198.51.100.0/24 via 192.0.2.1");
        let found = outside(&platform).await;
        let origins = [
            RouteOrigin::Program,
            RouteOrigin::Program,
            RouteOrigin::Dhcp,
            RouteOrigin::RouterAdvertisement,
            RouteOrigin::Redirect,
            RouteOrigin::Kernel,
            RouteOrigin::Program,
        ];
        for (number, expected) in origins.into_iter().enumerate() {
            for host in [format!("203.0.113.{number}"), format!("2001:db8:9::{number}")] {
                assert_eq!(origin(&found, &host), Some(expected), "{host} in {found:?}");
            }
        }
        assert_eq!(origin(&found, "198.51.100.1"), Some(RouteOrigin::Program));
        assert_eq!(found.len(), 15);
        assert_outside(&platform, &["203.0.113.0/24", "2001:db8:9::/48", "198.51.100.0/24"]).await;
    });
}

#[test]
fn networks_on_link_are_found_unless_they_are_private_or_the_lines_own() {
    in_namespace(async || {
        let _tunnel = tunnel();
        let platform = platform().unwrap();
        ip("route add 10.77.0.0/16 dev eth0");
        ip("-6 route add fd77::/48 dev eth0");
        assert_outside(&platform, &[]).await;
        ip("route add 203.0.113.0/24 dev eth0");
        ip("-6 route add 2001:db8:9::/64 dev eth0");
        assert_outside(&platform, &["203.0.113.0/24", "2001:db8:9::/64"]).await;
        // An address that a DHCP server gave, with a netmask that claims half a continent.
        ip("addr add 8.8.8.77/8 dev eth0");
        assert_outside(&platform, &["203.0.113.0/24", "2001:db8:9::/64", "8.0.0.0/8"]).await;
        let found = outside(&platform).await;
        let kernel = found.iter().find(|(sample, _)| sample.origin == Some(RouteOrigin::Kernel));
        assert_eq!(kernel.unwrap().1.gateway, None);
    });
}

#[test]
fn each_path_of_a_route_with_several_is_found() {
    in_namespace(async || {
        let _tunnel = tunnel();
        let platform = platform().unwrap();
        ip("route add 203.0.113.0/24 nexthop via 192.0.2.1 dev eth0 nexthop dev tun0");
        ip("-6 addr add 2001:db8:77::2/64 dev tun0 nodad");
        ip(
            "-6 route add 2001:db8:9::/64 nexthop via 2001:db8:1::1 dev eth0 nexthop via 2001:db8:77::1 dev tun0",
        );
        assert_outside(&platform, &["203.0.113.0/24", "2001:db8:9::/64"]).await;
    });
}

#[test]
fn routes_by_next_hop_objects_and_groups_are_found() {
    in_namespace(async || {
        let _tunnel = tunnel();
        let platform = platform().unwrap();
        if !try_ip("nexthop add id 1 via 192.0.2.1 dev eth0") {
            println!("skipped: this kernel has no next hop objects");
            return;
        }
        ip("nexthop add id 2 dev tun0");
        ip("nexthop add id 3 group 1/2");
        for compatible in ["1", "0"] {
            fs::write("/proc/sys/net/ipv4/nexthop_compat_mode", compatible).unwrap();
            ip("route replace 203.0.113.0/24 nhid 1");
            ip("route replace 198.51.100.0/24 nhid 3");
            ip("route replace 203.0.113.77/32 nhid 2");
            assert_outside(&platform, &["203.0.113.0/24", "198.51.100.0/24"]).await;
        }
    });
}

#[test]
fn an_ipv4_route_by_an_ipv6_router_is_found() {
    in_namespace(async || {
        let _tunnel = tunnel();
        ip("route add 203.0.113.7/32 via inet6 2001:db8:1::1 dev eth0");
        let platform = platform().unwrap();
        let found = outside(&platform).await;
        let [(sample, taken)] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(sample.packet.destination, IpAddr::from([203, 0, 113, 7]));
        assert!(taken.gateway.unwrap().is_ipv6());
    });
}

#[test]
fn a_narrower_route_into_the_tunnel_does_not_hide_the_network_around_it() {
    in_namespace(async || {
        let _tunnel = tunnel();
        ip("route add 203.0.113.0/24 via 192.0.2.1");
        ip("route add 203.0.113.1/32 dev tun0");
        ip("route add 203.0.113.0/25 dev tun0");
        assert_outside(&platform().unwrap(), &["203.0.113.128/25"]).await;
    });
}

#[test]
fn tables_are_searched_if_a_rule_leads_ordinary_packets_to_them() {
    in_namespace(async || {
        let _tunnel = tunnel();
        let platform = platform().unwrap();
        ip("route add default via 192.0.2.1 table 100");
        ip("route add 198.51.100.0/24 via 192.0.2.1 table 100");
        ip("-6 route add default via 2001:db8:1::1 table 100");
        for foreign in ["fwmark 0x1", "oif eth0", "iif eth0", "uidrange 60000-60001", "tos 0x10", "sport 53"]
        {
            ip(&format!("rule add {foreign} lookup 100"));
            assert_outside(&platform, &[]).await;
            ip(&format!("rule del {foreign} lookup 100"));
        }
        ip("rule add to 203.0.113.0/24 lookup 100");
        ip("-6 rule add to 2001:db8:9::/48 lookup 100");
        assert_outside(&platform, &["203.0.113.0/24", "2001:db8:9::/48"]).await;
        ip("rule add to 198.51.100.0/25 lookup 100");
        assert_outside(&platform, &["203.0.113.0/24", "2001:db8:9::/48", "198.51.100.0/25"]).await;
        ip("rule del to 203.0.113.0/24 lookup 100");
        ip("rule del to 198.51.100.0/25 lookup 100");
        ip("-6 rule del to 2001:db8:9::/48 lookup 100");

        // As wg-quick does, with a destination that is spared, and a table that sends some back.
        ip("route add default dev tun0 table 51820");
        ip("route add throw 192.0.2.128/25 table 51820");
        ip("route add 192.0.2.128/25 via 192.0.2.1");
        ip("route del 0.0.0.0/1 dev tun0");
        ip("route del 128.0.0.0/1 dev tun0");
        ip("rule add not to 203.0.113.0/24 lookup 51820 priority 32000");
        assert_outside(&platform, &["203.0.113.0/24", "192.0.2.128/25"]).await;
    });
}

#[test]
fn rules_by_port_decide_both_ways() {
    in_namespace(async || {
        let _tunnel = tunnel();
        let platform = platform().unwrap();
        let server: IpAddr = "203.0.113.53".parse().unwrap();
        let by = async |packet| {
            let route = platform.find_route(packet).await;
            route.measured().unwrap_or_else(|| panic!("{route:?}")).interface.clone()
        };
        // Everything in the tunnel, except port 53.
        ip("route add default via 192.0.2.1 table 53");
        ip("rule add dport 53 lookup 53 priority 100");
        assert_eq!(by(PacketKind::dns(server)).await, "eth0");
        assert_eq!(by(PacketKind::web(server)).await, "tun0");
        assert_eq!(by(PacketKind::udp(SocketAddr::new(server, 3478))).await, "tun0");
        let found = outside(&platform).await;
        let traffic: Vec<Traffic> = found.iter().map(|(sample, _)| sample.packet.traffic()).collect();
        assert_eq!(traffic.len(), 2, "{found:?}");
        assert!(traffic.contains(&Traffic { transport: Transport::Udp, port: 53 }));
        assert!(found.iter().all(|(sample, _)| sample.depends_on_traffic));
        ip("rule del dport 53 lookup 53 priority 100");

        // The server by the router, except port 53.
        ip("route add 203.0.113.53/32 via 192.0.2.1");
        ip("route add default dev tun0 table 54");
        ip("rule add ipproto udp dport 53 lookup 54 priority 100");
        assert_eq!(by(PacketKind::dns(server)).await, "tun0");
        assert_eq!(by(PacketKind::web(server)).await, "eth0");

        // ICMP has no port.
        ip("rule add ipproto icmp lookup 53 priority 90");
        let echo = PacketKind { destination: [198, 51, 100, 1].into(), transport: Transport::Icmp, port: 0 };
        assert_eq!(by(echo).await, "eth0");
    });
}

#[test]
fn a_rule_by_source_applies_to_the_address_that_the_kernel_chooses() {
    in_namespace(async || {
        let _tunnel = tunnel();
        ip("route add default via 192.0.2.1 table 100");
        ip("rule add from 10.8.0.2 lookup 100");
        let taken = platform().unwrap().find_route(PacketKind::web([203, 0, 113, 1].into())).await;
        let taken = taken.measured().unwrap();
        assert_eq!((taken.interface.as_str(), taken.source), ("eth0", Some([10, 8, 0, 2].into())));
    });
}

#[test]
fn routes_that_lead_nowhere_are_told_from_those_that_lead_out() {
    in_namespace(async || {
        let _tunnel = tunnel();
        let platform = platform().unwrap();
        for kind in ["unreachable", "blackhole", "prohibit"] {
            ip(&format!("route add {kind} 203.0.113.0/24"));
            ip(&format!("-6 route add {kind} 2001:db8:9::/48"));
            assert_outside(&platform, &[]).await;
            for inside in ["203.0.113.1", "2001:db8:9::1"] {
                for packet in
                    [PacketKind::web(inside.parse().unwrap()), PacketKind::dns(inside.parse().unwrap())]
                {
                    let route = platform.find_route(packet).await;
                    assert_eq!(because(&route), &Reason::Unreachable, "{kind} {packet:?}");
                }
            }
            ip(&format!("route del {kind} 203.0.113.0/24"));
            ip(&format!("-6 route del {kind} 2001:db8:9::/48"));
        }
    });
}

#[test]
fn packets_into_a_dummy_or_a_bridge_without_a_wire_end_there() {
    in_namespace(async || {
        let platform = platform().unwrap();
        ip("link add br0 type bridge");
        ip("link add in0 type veth peer name in1");
        ip("link set in0 master br0");
        for link in ["br0", "in0", "in1"] {
            ip(&format!("link set {link} up"));
        }
        ip("-6 route add 2001:db8:9::/48 dev br0");
        ip("route add 203.0.113.0/24 dev in1");
        let kind = async |destination: &str| {
            let route = platform.find_route(PacketKind::web(destination.parse().unwrap())).await;
            route.measured().unwrap_or_else(|| panic!("{route:?}")).kind
        };
        assert_eq!(kind("2001:db8:9::1").await, InterfaceKind::Sink);
        assert_eq!(kind("203.0.113.1").await, InterfaceKind::Sink);
        if try_ip("link add dummy0 type dummy") {
            ip("link set dummy0 up");
            ip("-6 route add 2001:db8:8::/48 dev dummy0");
            assert_eq!(kind("2001:db8:8::1").await, InterfaceKind::Sink);
        } else {
            println!("not tried: this kernel has no dummy devices");
        }
        // A wire makes a way out of the same bridge.
        ip("link set eth0 master br0");
        assert_ne!(kind("2001:db8:9::1").await, InterfaceKind::Sink);
    });
}

#[test]
fn a_table_of_many_routes_costs_bounded_time_and_its_exceptions_are_found() {
    in_namespace(async || {
        let _tunnel = tunnel();
        let mut batch = String::new();
        for number in 0..100_000_u32 {
            let [_, high, middle, low] = number.to_be_bytes();
            writeln!(batch, "route add 100.{}.{middle}.{low}/32 dev tun0", 128 + high).unwrap();
        }
        let file: PathBuf = std::env::temp_dir().join(format!("routes-{}", std::process::id()));
        fs::write(&file, batch).unwrap();
        ip(&format!("-batch {}", file.display()));
        fs::remove_file(&file).unwrap();
        ip("route add 203.0.113.9/32 via 192.0.2.1");
        let platform = platform().unwrap();
        let started = Instant::now();
        assert_outside(&platform, &["203.0.113.9/32"]).await;
        let took = started.elapsed();
        println!("100,000 routes: {took:?} for samples and lookups, twice over two families");
        assert!(took < Duration::from_secs(2), "{took:?}");
    });
}

#[test]
fn ipsec_policies_are_listed_with_their_far_ends() {
    in_namespace(async || {
        let platform = platform().unwrap();
        if let Outcome::Unknown(Reason::Unsupported) = platform.list_ipsec_policies().await {
            println!("skipped: this kernel has no IPsec policies");
            return;
        }
        assert_eq!(platform.list_ipsec_policies().await, Outcome::Measured(Vec::new()));
        ip("xfrm policy add src 0.0.0.0/0 dst 203.0.113.0/24 dir out \
            tmpl src 192.0.2.2 dst 192.0.2.9 proto esp mode tunnel");
        ip("xfrm policy add src ::/0 dst 2001:db8:9::/48 dir out action block");
        ip("xfrm policy add src 0.0.0.0/0 dst 198.51.100.0/24 dir in \
            tmpl src 192.0.2.9 dst 192.0.2.2 proto esp mode tunnel");
        let found = platform.list_ipsec_policies().await;
        let [block, tunnel] = found.measured().unwrap().as_slice() else { panic!("{found:?}") };
        let (block, tunnel) =
            if block.action == IpsecAction::Block { (block, tunnel) } else { (tunnel, block) };
        assert_eq!(block.destination, "2001:db8:9::/48".parse().unwrap());
        assert_eq!((block.action, block.far_end()), (IpsecAction::Block, None));
        assert_eq!(tunnel.destination, "203.0.113.0/24".parse().unwrap());
        assert_eq!(tunnel.far_end(), Some([192, 0, 2, 9].into()));
        let far_ends = platform.find_far_ends().await;
        let addresses: Vec<IpAddr> = far_ends.measured().unwrap().iter().map(|it| it.address).collect();
        assert_eq!(addresses, [IpAddr::from([192, 0, 2, 9])]);
    });
}
