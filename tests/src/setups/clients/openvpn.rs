//! OpenVPN with a real server, which pushes `redirect-gateway def1`.

use super::translate;
use crate::{
    host::Host,
    process::Process,
    setups::{
        part::{PartInfo, Task},
        site::{Site, VpnClient},
        wait::wait_for_log,
    },
};
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

pub(crate) const INFO: PartInfo = PartInfo {
    name: "openvpn",
    summary: "the real OpenVPN; its server pushes `redirect-gateway def1` (with `ipv6` where the line has it): a \
              host route to the server and two half routes",
    programs: &[("openvpn", "openvpn")],
    stand_in: None,
};

pub(crate) const SPLIT_INFO: PartInfo = PartInfo {
    name: "openvpn-split",
    summary: "the same with a pushed split: one network is routed past the tunnel on purpose \
              (`route 198.19.24.0 255.255.255.0 net_gateway`)",
    programs: &[("openvpn", "openvpn")],
    stand_in: None,
};

/// What the server of the split tunnel pushes besides.
const SPLIT: &[&str] = &["route 198.19.24.0 255.255.255.0 net_gateway"];

/// The device of the client.
const DEVICE: &str = "tun0";
const PORT: u16 = 1194;
/// The networks inside the tunnel.
const INSIDE: &str = "10.8.0.0 255.255.255.0";
const INSIDE_PREFIX: &str = "10.8.0.0/24";
const INSIDE_V6: &str = "fd00:8::/64";
/// What both ends log once they are up.
const CONNECTED: &str = "Initialization Sequence Completed";
/// Longest time a connection may take.
const READY: Duration = Duration::from_secs(20);

/// An OpenVPN connection.
#[derive(Debug, Default)]
pub(crate) struct OpenVpn {
    server: Option<Process>,
    client: Option<Process>,
    /// Further options that the server pushes.
    pushed: &'static [&'static str],
}

impl OpenVpn {
    /// Returns a client whose server pushes a split.
    pub(crate) fn with_split() -> Self {
        Self { pushed: SPLIT, ..Self::default() }
    }

    async fn up(&mut self, site: Site<'_>) -> Result<()> {
        let server = site.world.host("vpn")?;
        let (of_server, of_client) = (
            Identity::create(server, "openvpn-server").await?,
            Identity::create(site.machine, "openvpn-client").await?,
        );
        if self.server.is_none() {
            self.server = Some(self.start_server(site, server, &of_server, &of_client).await?);
        }
        let mut command = site.machine.command("openvpn");
        command.args(["--client", "--nobind", "--dev", DEVICE, "--dev-type", "tun"]);
        command.args([
            "--proto",
            protocol(site),
            "--remote",
            &site.endpoint().to_string(),
            &PORT.to_string(),
        ]);
        command.args(["--connect-retry", "1", "--keepalive", "5", "20", "--script-security", "2"]);
        of_client.apply(&mut command, &of_server.fingerprint);
        // An earlier run has left the words that are waited for.
        let _ = fs::remove_file(site.machine.directory().join("openvpn.log"));
        let mut client = site.machine.start_daemon("openvpn", command)?;
        wait_for_log(&mut client, CONNECTED, READY).await?;
        self.client = Some(client);
        Ok(())
    }

    async fn start_server(
        &self,
        site: Site<'_>,
        server: &Host,
        own: &Identity,
        client: &Identity,
    ) -> Result<Process> {
        let mut command = server.command("openvpn");
        command.args(["--mode", "server", "--tls-server", "--dh", "none", "--topology", "subnet"]);
        command.args([
            "--dev",
            "ovpns0",
            "--dev-type",
            "tun",
            "--proto",
            protocol(site),
            "--port",
            &PORT.to_string(),
        ]);
        command.arg("--server").args(INSIDE.split(' '));
        command.args(["--keepalive", "5", "20"]);
        let mut redirect = "redirect-gateway def1".to_owned();
        if site.has_ipv6() {
            command.args(["--server-ipv6", INSIDE_V6]);
            redirect += " ipv6";
        }
        for option in [redirect.as_str()].iter().chain(self.pushed) {
            command.args(["--push", option]);
        }
        own.apply(&mut command, &client.fingerprint);
        let mut process = server.start_daemon("openvpn", command)?;
        wait_for_log(&mut process, CONNECTED, READY).await?;
        translate(server, "openvpn", INSIDE_PREFIX, site.has_ipv6().then_some(INSIDE_V6)).await?;
        Ok(process)
    }
}

/// Returns the protocol between client and server.
fn protocol(site: Site<'_>) -> &'static str {
    if site.endpoint().is_ipv4() { "udp4" } else { "udp6" }
}

/// A key and a self-signed certificate, which the other end knows by its fingerprint.
#[derive(Debug)]
struct Identity {
    certificate: PathBuf,
    key: PathBuf,
    fingerprint: String,
}

impl Identity {
    /// Creates the files in a host's directory, or reads those from before.
    async fn create(host: &Host, name: &str) -> Result<Self> {
        let certificate = host.directory().join(format!("{name}.pem"));
        let key = host.directory().join(format!("{name}.key"));
        let text = |path: &Path| path.to_string_lossy().into_owned();
        if !certificate.exists() {
            let options = "req -x509 -nodes -days 30 -newkey ec -pkeyopt ec_paramgen_curve:P-256";
            let (certificate, key, subject) = (text(&certificate), text(&key), format!("/CN={name}"));
            let own = ["-subj", &subject, "-out", &certificate, "-keyout", &key];
            host.output("openssl", &[&options.split(' ').collect::<Vec<_>>()[..], &own].concat(), "").await?;
        }
        let arguments = ["x509", "-in", &text(&certificate), "-noout", "-fingerprint", "-sha256"];
        let shown = host.output("openssl", &arguments, "").await?;
        let fingerprint = shown.trim().split_once('=').context("openssl shows no fingerprint")?.1.to_owned();
        Ok(Self { certificate, key, fingerprint })
    }

    /// Adds the options for this identity, and for the only peer to accept.
    fn apply(&self, command: &mut tokio::process::Command, peer: &str) {
        command.arg("--cert").arg(&self.certificate).arg("--key").arg(&self.key);
        command.args(["--peer-fingerprint", peer]);
    }
}

impl VpnClient for OpenVpn {
    fn connect<'a>(&'a mut self, site: Site<'a>) -> Task<'a> {
        Box::pin(self.up(site))
    }

    fn crash<'a>(&'a mut self, _site: Site<'a>) -> Task<'a> {
        Box::pin(async move {
            let mut client = self.client.take().context("the client does not run")?;
            client.child().kill().await.context("cannot kill openvpn")
        })
    }

    fn set_ipv6<'a>(&'a mut self, site: Site<'a>, carried: bool) -> Task<'a> {
        Box::pin(async move {
            ensure!(site.has_ipv6(), "the tunnel carries no IPv6");
            let verb = if carried { "add" } else { "delete" };
            let halves = ["::/3", "2000::/4", "3000::/4", "fc00::/7"];
            let lines = halves.map(|half| format!("route {verb} {half} dev {DEVICE}\n")).concat();
            site.machine.run_ip(&lines).await
        })
    }

    fn device(&self) -> Option<&'static str> {
        Some(DEVICE)
    }
}
