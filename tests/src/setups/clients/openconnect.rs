//! OpenConnect with a real ocserv and the real `vpnc-script`.

use super::translate;
use crate::{
    host::{Host, Transport},
    process::Process,
    setups::{
        part::{PartInfo, Task},
        setgroups::ignore_setgroups,
        site::{Site, VpnClient},
        wait::retry,
    },
};
use anyhow::{Context, Result, ensure};
use std::{fs, net::SocketAddr, time::Duration};

pub(crate) const INFO: PartInfo = PartInfo {
    name: "openconnect",
    summary: "the real OpenConnect against the real ocserv; `vpnc-script` puts a default route of its own before \
              the line's",
    programs: &[("openconnect", "openconnect"), ("ocserv", "ocserv"), ("ocpasswd", "ocserv")],
    stand_in: None,
};

const DEVICE: &str = "vpn0";
const PORT: u16 = 4443;
const SCRIPT: &str = "/usr/share/vpnc-scripts/vpnc-script";
const READY: Duration = Duration::from_secs(20);
const PASSWORD: &str = "swordfish";

/// A connection to ocserv.
#[derive(Debug, Default)]
pub(crate) struct OpenConnect {
    server: Option<Process>,
    client: Option<Process>,
    pin: String,
}

impl OpenConnect {
    async fn up(&mut self, site: Site<'_>) -> Result<()> {
        if self.server.is_none() {
            self.start_server(site, site.world.host("vpn")?).await?;
        }
        let input = site.machine.directory().join("openconnect.password");
        fs::write(&input, format!("{PASSWORD}\n"))
            .with_context(|| format!("cannot write {}", input.display()))?;
        let mut command = site.machine.command("sh");
        command.arg("-c").arg(format!(
            "exec openconnect --protocol=anyconnect --user=lab --passwd-on-stdin --non-inter --interface {DEVICE} \
             --script {SCRIPT} --servercert {} https://{}/ <{}",
            self.pin,
            SocketAddr::new(site.endpoint(), PORT),
            input.display()
        ));
        let mut client = site.machine.start_daemon("openconnect", command)?;
        let up = retry(READY, async || {
            let routes = site.machine.output("ip", &["route", "show", "default", "dev", DEVICE], "").await?;
            ensure!(!routes.trim().is_empty(), "no default route by {DEVICE}");
            Ok(())
        })
        .await;
        if let Some(server) = &mut self.server {
            server.add_log(client.add_log(up))?;
        }
        self.client = Some(client);
        Ok(())
    }

    async fn start_server(&mut self, site: Site<'_>, server: &Host) -> Result<()> {
        let directory = server.directory();
        let path = |name: &str| directory.join(name).to_string_lossy().into_owned();
        let (certificate, key, passwords) = (path("ocserv.pem"), path("ocserv.key"), path("ocpasswd"));
        let options =
            "req -x509 -nodes -days 30 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /CN=ocserv";
        let own = ["-out", &certificate, "-keyout", &key];
        server.output("openssl", &[&options.split(' ').collect::<Vec<_>>()[..], &own].concat(), "").await?;
        let script = format!(
            "openssl x509 -in {certificate} -pubkey -noout | openssl pkey -pubin -outform der \
             | openssl dgst -sha256 -binary | openssl base64"
        );
        self.pin = format!("pin-sha256:{}", server.output("sh", &["-c", &script], "").await?.trim());
        server.output("ocpasswd", &["-c", &passwords, "lab"], &format!("{PASSWORD}\n{PASSWORD}\n")).await?;
        let v6 = if site.has_ipv6() { "ipv6-network = fd00:9::/64\nipv6-subnet-prefix = 128\n" } else { "" };
        let text = format!(
            "auth = \"plain[passwd={passwords}]\"
tcp-port = {PORT}
udp-port = {PORT}
socket-file = {socket}
pid-file = {pid}
server-cert = {certificate}
server-key = {key}
isolate-workers = false
max-clients = 4
max-same-clients = 4
keepalive = 60
dpd = 60
mobile-dpd = 60
try-mtu-discovery = false
cookie-timeout = 300
use-occtl = false
device = ocs
predictable-ips = false
ping-leases = false
ipv4-network = 10.9.0.0
ipv4-netmask = 255.255.255.0
{v6}route = default
mtu = 1340
cisco-client-compat = false
",
            socket = path("ocserv.sock"),
            pid = path("ocserv.pid"),
        );
        let configuration = path("ocserv.conf");
        fs::write(&configuration, text).with_context(|| format!("cannot write {configuration}"))?;
        let mut command = server.command("ocserv");
        command.args(["--foreground", "--config", &configuration]);
        ignore_setgroups(&mut command);
        let mut process = server.start_daemon("ocserv", command)?;
        server.wait_for_server(&mut process, Transport::Tcp, PORT, READY).await?;
        self.server = Some(process);
        translate(server, "ocserv", "10.9.0.0/24", site.has_ipv6().then_some("fd00:9::/64")).await
    }
}

impl VpnClient for OpenConnect {
    fn connect<'a>(&'a mut self, site: Site<'a>) -> Task<'a> {
        Box::pin(self.up(site))
    }

    fn crash<'a>(&'a mut self, _site: Site<'a>) -> Task<'a> {
        Box::pin(async move {
            let mut client = self.client.take().context("the client does not run")?;
            client.child().kill().await.context("cannot kill openconnect")
        })
    }

    fn set_ipv6<'a>(&'a mut self, site: Site<'a>, carried: bool) -> Task<'a> {
        Box::pin(async move {
            let verb = if carried { "add" } else { "delete" };
            let words = format!("-6 route {verb} default dev {DEVICE} metric 1");
            site.machine.output("ip", &words.split(' ').collect::<Vec<_>>(), "").await.map(drop)
        })
    }

    fn device(&self) -> Option<&'static str> {
        Some(DEVICE)
    }
}
