//! Lines with native IPv6, whose IPv4 comes through it: DS-Lite and 464XLAT.

use crate::{
    host::Host,
    plan,
    process::Process,
    setups::{
        part::PartInfo,
        tun_pair::TunPair,
        uplink::{Line, LineIpv6, Uplink},
        wait::retry,
    },
    world::World,
};
use anyhow::{Context, Result};
use sentinel_model::IpNet;
use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

pub(crate) const DS_LITE_INFO: PartInfo = PartInfo {
    name: "ds-lite",
    summary: "native IPv6 on `eth0`; IPv4 by the tunnel device `ds-wan` to the provider's NAT (RFC 6333)",
    programs: &[],
    stand_in: Some("a TUN device, as the kernel of the reference machine has no `ip6tnl`"),
};

pub(crate) const XLAT_INFO: PartInfo = PartInfo {
    name: "464xlat",
    summary: "IPv6 alone on `eth0`; IPv4 by the translator `clat` on the machine and NAT64 at the provider \
              (RFC 6877), both of them the real TAYGA",
    programs: &[("tayga", "tayga")],
    stand_in: None,
};

/// The addresses of IPv4 inside the access tunnel (RFC 7335).
const INSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 2);
const PROVIDER: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 1);
/// The provider's NAT64 prefix, and the translated address of the machine.
const PREFIX: &str = "2001:db8:51:64::/96";
const CLAT: &str = "2001:db8:51:1::464";
/// Longest time until a translator has its device.
const READY: Duration = Duration::from_secs(5);

/// Gives the machine's `eth0` native IPv6.
async fn configure_ipv6(machine: &Host) -> Result<()> {
    machine
        .run_ip(&format!(
            "link set eth0 up\naddress add {}/64 dev eth0 nodad\nroute add ::/0 via {} dev eth0 metric 1024\n",
            plan::LAPTOP_V6,
            plan::ROUTER_V6
        ))
        .await
}

pub(crate) async fn install_ds_lite(world: &World, machine: &Host) -> Result<Line> {
    configure_ipv6(machine).await?;
    let router = world.host("home-router")?;
    let pair = TunPair::connect([(machine, "ds-wan"), (router, "aftr")]).await?;
    router.run_ip(&format!("route add {INSIDE}/32 dev aftr\n")).await?;
    machine
        .run_ip(&format!(
            "link set ds-wan mtu 1460\naddress add {INSIDE} peer {PROVIDER}/32 dev ds-wan\n\
             route add default dev ds-wan metric 700\n"
        ))
        .await?;
    Ok(Line::new(uplink("ds-wan", "aftr"), vec![pair], Vec::new()))
}

pub(crate) async fn install_xlat(world: &World, machine: &Host) -> Result<Line> {
    configure_ipv6(machine).await?;
    machine.set_sysctl(&[("net/ipv6/conf/all/forwarding", "1"), ("net/ipv4/ip_forward", "1")])?;
    let router = world.host("home-router")?;
    let nat64 = start_tayga(
        router,
        "nat64",
        "ipv4-addr 192.168.255.1\ndynamic-pool 192.168.255.0/24\nipv6-addr 2001:db8:51:65::1\n",
    )
    .await?;
    router
        .run_ip(&format!(
            "link set nat64 up\nroute add 192.168.255.0/24 dev nat64\nroute add {PREFIX} dev nat64\n\
             route add {CLAT}/128 via {} dev lan\n",
            plan::LAPTOP_V6
        ))
        .await?;
    let clat = start_tayga(
        machine,
        "clat",
        &format!("ipv4-addr {PROVIDER}\nipv6-addr 2001:db8:51:1::465\nmap {INSIDE} {CLAT}\n"),
    )
    .await?;
    machine
        .run_ip(&format!(
            "link set clat mtu 1460 up\naddress add {INSIDE}/32 dev clat\nroute add {CLAT}/128 dev clat\n\
             route add default dev clat metric 2048\n"
        ))
        .await?;
    Ok(Line::new(uplink("clat", "nat64"), Vec::new(), vec![nat64, clat]))
}

/// Starts a translator, and waits for its device.
async fn start_tayga(host: &Host, device: &'static str, settings: &str) -> Result<Process> {
    let directory = host.directory().join(device);
    fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let path = directory.join("tayga.conf");
    let text = format!("tun-device {device}\nprefix {PREFIX}\ndata-dir {}\n{settings}", directory.display());
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    let mut command = host.command("tayga");
    command.arg("--nodetach").arg("--config").arg(&path);
    let mut process = host.start_daemon(&format!("tayga-{device}"), command)?;
    let created = retry(READY, async || host.run_ip(&format!("link show dev {device}\n")).await).await;
    process.add_log(created)?;
    Ok(process)
}

fn uplink(device: &str, router_device: &'static str) -> Uplink {
    Uplink {
        device: device.to_owned(),
        address: INSIDE,
        gateway: None,
        resolver: plan::ISP_RESOLVER,
        ipv6: LineIpv6::Native(plan::ROUTER_V6),
        seen_at: vec![IpNet::from(IpAddr::from(plan::HOME))],
        router_device,
        is_translated: device == "clat",
    }
}
