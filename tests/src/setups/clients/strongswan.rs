//! strongSwan with ESP in user space: real IKE, a TUN device, and table 220.

use super::{device::clear_away, translate};
use crate::{
    host::Host,
    plan,
    process::Process,
    setups::{
        part::{PartInfo, Task},
        site::{Site, VpnClient},
        system::{self, Software},
        wait::retry,
    },
};
use anyhow::{Context, Result, bail};
use std::{fs, path::Path, time::Duration};

pub(crate) const INFO: PartInfo = PartInfo {
    name: "strongswan",
    summary: "the real strongSwan on both sides, with ESP in user space (`kernel-libipsec`): `ipsec0` with a virtual \
              address, and table 220 before all others",
    programs: &[],
    stand_in: None,
};

const DEVICE: &str = "ipsec0";
/// The virtual addresses.
const POOL: &str = "10.10.0.0/24";
/// Longest time until a daemon has its socket.
const READY: Duration = Duration::from_secs(10);
/// The plugins that both ends need.
const PLUGINS: &str =
    "random nonce gmp kernel-libipsec kernel-netlink socket-default vici hmac sha1 sha2 aes kdf";

/// A connection by strongSwan.
#[derive(Debug, Default)]
pub(crate) struct StrongSwan {
    server: Option<Process>,
    client: Option<Process>,
}

impl StrongSwan {
    async fn up(&mut self, site: Site<'_>) -> Result<()> {
        let endpoint = plan::VPN_ENDPOINT;
        if self.server.is_none() {
            let server = site.world.host("vpn")?;
            let settings = format!(
                "local_addrs = {endpoint}\npools = virtual\nlocal {{ auth = psk\nid = server }}\n\
                 remote {{ auth = psk\nid = client }}\n\
                 children {{ net {{ esp_proposals = aes128-sha256\nlocal_ts = 0.0.0.0/0 }} }}\n"
            );
            self.server = Some(start(server, &settings).await?);
            translate(server, "ipsec", POOL, None).await?;
        }
        let settings = format!(
            "remote_addrs = {endpoint}\nvips = 0.0.0.0\nlocal {{ auth = psk\nid = client }}\n\
             remote {{ auth = psk\nid = server }}\n\
             children {{ net {{ esp_proposals = aes128-sha256\nremote_ts = 0.0.0.0/0 }} }}\n"
        );
        clear_away(site.machine, "ip rule delete not fwmark 0x42 lookup 220").await?;
        let mut client = start(site.machine, &settings).await?;
        let initiated = control(site.machine, &["--initiate", "--child", "net", "--timeout", "15"]).await;
        client.add_log(initiated)?;
        self.client = Some(client);
        Ok(())
    }
}

/// Starts the daemon of a host and loads its connection.
async fn start(host: &Host, connection: &str) -> Result<Process> {
    system::install(host, &[Software::StrongSwan])?;
    let directory = host.directory().join("ipsec");
    fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    let _ = fs::remove_file(directory.join("vici"));
    write(
        "strongswan.conf",
        &format!(
            "charon-systemd {{\nload = {PLUGINS}\nplugins {{\nvici {{ socket = unix://{vici} }}\n\
             kernel-libipsec {{ allow_peer_ts = yes }}\nkernel-netlink {{ fwmark = !0x42 }}\n\
             socket-default {{ fwmark = 0x42 }}\n}} }}\nswanctl {{ load = random }}\n",
            vici = directory.join("vici").display()
        ),
    )?;
    write(
        "swanctl.conf",
        &format!(
            "connections {{ vpn {{ proposals = aes128-sha256-modp2048\n{connection} }} }}\n\
             pools {{ virtual {{ addrs = {POOL} }} }}\nsecrets {{ ike {{ secret = swordfish }} }}\n"
        ),
    )?;
    let mut command = host.command("/usr/sbin/charon-systemd");
    command.env("STRONGSWAN_CONF", directory.join("strongswan.conf"));
    let mut process = host.start_daemon("charon", command)?;
    let file = directory.join("swanctl.conf").to_string_lossy().into_owned();
    let loaded = retry(READY, async || control(host, &["--load-all", "--file", &file]).await).await;
    process.add_log(loaded)?;
    Ok(process)
}

/// Sends a command to the daemon of a host.
async fn control(host: &Host, arguments: &[&str]) -> Result<()> {
    let directory = host.directory().join("ipsec");
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let (settings, directory, vici) =
        (text(&directory.join("strongswan.conf")), text(&directory), text(&directory.join("vici")));
    let environment = [format!("STRONGSWAN_CONF={settings}"), format!("SWANCTL_DIR={directory}")];
    let uri = format!("unix://{vici}");
    let command = [&environment[0], &environment[1], "/usr/sbin/swanctl"];
    host.output("env", &[&command[..], arguments, &["--uri", &uri]].concat(), "").await.map(drop)
}

impl VpnClient for StrongSwan {
    fn connect<'a>(&'a mut self, site: Site<'a>) -> Task<'a> {
        Box::pin(self.up(site))
    }

    fn crash<'a>(&'a mut self, _site: Site<'a>) -> Task<'a> {
        Box::pin(async move {
            let mut client = self.client.take().context("the client does not run")?;
            client.child().kill().await.context("cannot kill charon")
        })
    }

    fn set_ipv6<'a>(&'a mut self, _site: Site<'a>, _carried: bool) -> Task<'a> {
        Box::pin(async { bail!("the tunnel carries no IPv6") })
    }

    fn device(&self) -> Option<&'static str> {
        Some(DEVICE)
    }
}
