//! Lines whose device has no link layer: ppp and raw-IP modems.

use crate::{
    host::Host,
    plan,
    setups::{
        part::PartInfo,
        tun_pair::TunPair,
        uplink::{Line, LineIpv6, Uplink},
    },
    world::World,
};
use anyhow::Result;
use sentinel_model::IpNet;
use std::net::{IpAddr, Ipv4Addr};

pub(crate) const PPP_INFO: PartInfo = PartInfo {
    name: "ppp",
    summary: "`ppp0` of a modem is the only device besides `lo`, with the public address on it",
    programs: &[],
    stand_in: Some("a TUN device named `ppp0`, as the kernel of the reference machine has no ppp"),
};

pub(crate) const PPP_LAN_INFO: PartInfo = PartInfo {
    name: "ppp-lan",
    summary: "the same on a machine that also has a LAN, without a router on it",
    programs: &[],
    stand_in: Some("a TUN device named `ppp0`, as the kernel of the reference machine has no ppp"),
};

pub(crate) const LTE_INFO: PartInfo = PartInfo {
    name: "lte",
    summary: "`wwan0` of an LTE modem in raw-IP mode is the only device, with an address of the carrier's NAT",
    programs: &[],
    stand_in: Some("a TUN device named `wwan0`, as there is no modem"),
};

/// The provider's end of the line.
const PROVIDER_END: &str = "line0";
/// The provider's router itself, as it must not have the line's public address.
const PROVIDER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// The laptop's address at the LTE carrier, and the carrier's.
const MOBILE: Ipv4Addr = Ipv4Addr::new(100, 72, 13, 5);
const CARRIER: Ipv4Addr = Ipv4Addr::new(100, 72, 13, 6);
/// The metric of these default routes.
const METRIC: u32 = 700;

/// Connects a machine by ppp, with or without a LAN beside it.
pub(crate) async fn install_ppp(world: &World, machine: &Host, lan: bool) -> Result<Line> {
    let router = world.host("home-router")?;
    world.internet().reroute(IpAddr::from(PROVIDER).into(), "home-router", &[])?;
    router.output("nft", &["flush", "chain", "ip", "nat", "postrouting"], "").await?;
    router
        .run_ip(&format!(
            "address add {PROVIDER}/32 dev net0\nroute replace 0.0.0.0/0 dev net0 src {PROVIDER}\n\
             address delete {}/32 dev net0\n",
            plan::HOME
        ))
        .await?;
    let cable =
        if lan { "link set eth0 up\naddress add 192.168.33.1/24 dev eth0\n" } else { "link delete eth0\n" };
    machine.run_ip(cable).await?;
    connect(world, machine, "ppp0", plan::HOME, PROVIDER).await
}

/// Connects a machine by a raw-IP modem.
pub(crate) async fn install_lte(world: &World, machine: &Host) -> Result<Line> {
    machine.run_ip("link delete eth0\n").await?;
    let mut line = connect(world, machine, "wwan0", MOBILE, CARRIER).await?;
    // Many modems hand out their own address as the resolver.
    let rules = format!(
        "table ip names {{
            chain prerouting {{
                type nat hook prerouting priority dstnat - 5
                ip daddr {CARRIER} meta l4proto {{ udp, tcp }} th dport 53 dnat to {}
            }}
        }}",
        plan::ISP_RESOLVER
    );
    world.host("home-router")?.output("nft", &["-f", "-"], &rules).await?;
    line.uplink.resolver = CARRIER;
    Ok(line)
}

async fn connect(
    world: &World,
    machine: &Host,
    device: &'static str,
    address: Ipv4Addr,
    provider: Ipv4Addr,
) -> Result<Line> {
    let router = world.host("home-router")?;
    let pair = TunPair::connect([(machine, device), (router, PROVIDER_END)]).await?;
    router.run_ip(&format!("route add {address}/32 dev {PROVIDER_END}\n")).await?;
    machine
        .run_ip(&format!(
            "address add {address} peer {provider}/32 dev {device}\nroute add default dev {device} metric {METRIC}\n"
        ))
        .await?;
    let uplink = Uplink {
        device: device.to_owned(),
        address,
        gateway: None,
        resolver: plan::ISP_RESOLVER,
        ipv6: LineIpv6::None,
        seen_at: vec![IpNet::from(IpAddr::from(plan::HOME))],
        router_device: PROVIDER_END,
        is_translated: false,
    };
    Ok(Line::new(uplink, vec![pair], Vec::new()))
}
