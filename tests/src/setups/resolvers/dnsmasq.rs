//! dnsmasq as a local forwarder.

use super::servers::nameserver_lines;
use crate::{
    host::{Host, Transport},
    process::Process,
    setups::{
        part::{PartInfo, ResolverPart, Task},
        wait::retry,
    },
};
use anyhow::{Context, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    time::Duration,
};

pub(super) const INFO: PartInfo = PartInfo {
    name: "dnsmasq",
    summary: "dnsmasq on 127.0.0.1 with a cache; scripts write its servers into a file of its own \
              (`resolv-file`) and signal it",
    programs: &[("dnsmasq", "dnsmasq-base")],
    stand_in: None,
};

/// Longest time until it listens, or has read its file.
const READY: Duration = Duration::from_secs(10);
/// More lines than its log gets here.
const WHOLE_LOG: usize = 100_000;

/// The daemon and the servers it has had.
#[derive(Debug, Default)]
pub(super) struct Dnsmasq {
    daemon: Option<Process>,
    line: Vec<IpAddr>,
    tunnel: Vec<IpAddr>,
}

impl ResolverPart for Dnsmasq {
    fn start<'a>(&'a mut self, laptop: &'a Host) -> Task<'a> {
        Box::pin(async {
            fs::write(servers_file(laptop), "")?;
            let mut command = laptop.command("dnsmasq");
            command
                .args(["--no-daemon", "--conf-file=/dev/null", "--pid-file=", "--no-hosts", "--no-poll"])
                .args(["--bind-interfaces", "--listen-address=127.0.0.1", "--cache-size=150"])
                .arg(format!("--resolv-file={}", servers_file(laptop).display()));
            let mut daemon = laptop.start_daemon("local-dnsmasq", command)?;
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
        Box::pin(self.forward_to(laptop, servers))
    }

    fn set_tunnel_servers<'a>(
        &'a mut self,
        laptop: &'a Host,
        _device: &'a str,
        servers: &'a [IpAddr],
    ) -> Task<'a> {
        self.tunnel = servers.to_vec();
        Box::pin(self.forward_to(laptop, servers))
    }

    fn clear_tunnel_servers<'a>(&'a mut self, laptop: &'a Host, _device: &'a str) -> Task<'a> {
        Box::pin(async move {
            let servers = self.line.clone();
            self.forward_to(laptop, &servers).await
        })
    }

    /// A renewed lease overwrites the file. `/etc/resolv.conf` does not change.
    fn leak<'a>(&'a mut self, laptop: &'a Host, _device: &'a str, servers: &'a [IpAddr]) -> Task<'a> {
        Box::pin(self.forward_to(laptop, servers))
    }

    fn mend_leak<'a>(&'a mut self, laptop: &'a Host) -> Task<'a> {
        Box::pin(async move {
            let servers = self.tunnel.clone();
            self.forward_to(laptop, &servers).await
        })
    }
}

impl Dnsmasq {
    /// Replaces the servers, and waits until the daemon has read them.
    async fn forward_to(&mut self, laptop: &Host, servers: &[IpAddr]) -> Result<()> {
        let path = servers_file(laptop);
        fs::write(&path, nameserver_lines(servers))
            .with_context(|| format!("cannot write {}", path.display()))?;
        let daemon = self.daemon.as_mut().context("dnsmasq has not been started")?;
        let used = |log: &str| log.lines().filter(|line| line.contains("using nameserver")).count();
        let before = used(&daemon.log_tail(WHOLE_LOG));
        let id = daemon.id().context("dnsmasq has ended")?;
        kill(Pid::from_raw(id.try_into()?), Signal::SIGHUP).context("cannot signal dnsmasq")?;
        let read = retry(READY, || async {
            let read = used(&daemon.log_tail(WHOLE_LOG)) >= before + servers.len();
            ensure!(read, "it has not read its servers");
            Ok(())
        })
        .await;
        daemon.add_log(read)
    }
}

fn servers_file(laptop: &Host) -> PathBuf {
    laptop.directory().join("dnsmasq.servers")
}
