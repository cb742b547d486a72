//! Unbound as a local forwarder.

use super::servers::addresses;
use crate::{
    host::{Host, Transport},
    process::Process,
    setups::part::{PartInfo, ResolverPart, Task},
};
use anyhow::{Context, Result};
use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    time::Duration,
};

pub(super) const INFO: PartInfo = PartInfo {
    name: "unbound",
    summary: "Unbound on 127.0.0.1, which forwards everything; scripts set its servers with \
              `unbound-control forward_add .`",
    programs: &[("unbound", "unbound"), ("unbound-control", "unbound")],
    stand_in: None,
};

/// Longest time until it listens.
const READY: Duration = Duration::from_secs(10);

/// The daemon and the servers it has had.
#[derive(Debug, Default)]
pub(super) struct Unbound {
    daemon: Option<Process>,
    line: Vec<IpAddr>,
    tunnel: Vec<IpAddr>,
}

impl ResolverPart for Unbound {
    fn start<'a>(&'a mut self, laptop: &'a Host) -> Task<'a> {
        Box::pin(async {
            let path = configuration_file(laptop);
            fs::write(&path, configuration(laptop))
                .with_context(|| format!("cannot write {}", path.display()))?;
            let mut command = laptop.command("unbound");
            command.arg("-d").arg("-c").arg(path);
            let mut daemon = laptop.start_daemon("local-unbound", command)?;
            laptop.wait_for_server(&mut daemon, Transport::Udp, 53, READY).await?;
            self.daemon = Some(daemon);
            laptop.set_resolvers(&[Ipv4Addr::LOCALHOST.into()])
        })
    }

    fn set_line_servers<'a>(
        &'a mut self,
        laptop: &'a Host,
        _device: &'a str,
        servers: &'a [IpAddr],
    ) -> Task<'a> {
        self.line = servers.to_vec();
        Box::pin(forward_to(laptop, servers))
    }

    fn set_tunnel_servers<'a>(
        &'a mut self,
        laptop: &'a Host,
        _device: &'a str,
        servers: &'a [IpAddr],
    ) -> Task<'a> {
        self.tunnel = servers.to_vec();
        Box::pin(forward_to(laptop, servers))
    }

    fn clear_tunnel_servers<'a>(&'a mut self, laptop: &'a Host, _device: &'a str) -> Task<'a> {
        Box::pin(forward_to(laptop, &self.line))
    }

    /// A script of the DHCP client sets the router's server. `/etc/resolv.conf` does not change.
    fn leak<'a>(&'a mut self, laptop: &'a Host, _device: &'a str, servers: &'a [IpAddr]) -> Task<'a> {
        Box::pin(forward_to(laptop, servers))
    }

    fn mend_leak<'a>(&'a mut self, laptop: &'a Host) -> Task<'a> {
        Box::pin(forward_to(laptop, &self.tunnel))
    }
}

/// Replaces the servers, and forgets what was learnt from the earlier ones.
async fn forward_to(laptop: &Host, servers: &[IpAddr]) -> Result<()> {
    let file = configuration_file(laptop).to_string_lossy().into_owned();
    let servers = addresses(servers);
    let forward: Vec<&str> =
        ["forward_add", "."].into_iter().chain(servers.iter().map(String::as_str)).collect();
    for words in [&forward[..], &["flush_zone", "."], &["flush_infra", "all"], &["flush_requestlist"]] {
        let arguments = [&["-c", file.as_str()], words].concat();
        laptop.output("unbound-control", &arguments, "").await?;
    }
    Ok(())
}

fn configuration_file(laptop: &Host) -> PathBuf {
    laptop.directory().join("local-unbound.conf")
}

/// Returns the configuration. DNSSEC validation is off, because no zone of the lab is signed.
fn configuration(laptop: &Host) -> String {
    format!(
        "server:
  username: \"\"
  chroot: \"\"
  directory: \"{directory}\"
  pidfile: \"{directory}/local-unbound.pid\"
  use-syslog: no
  interface: 127.0.0.1
  module-config: \"iterator\"
  num-threads: 1
  do-ip6: no
  outgoing-range: 128
  num-queries-per-thread: 64
  local-zone: \"example.\" nodefault
remote-control:
  control-enable: yes
  control-use-cert: no
  control-interface: \"{directory}/local-unbound.control\"
",
        directory = laptop.directory().display()
    )
}
