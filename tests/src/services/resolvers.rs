//! The recursive resolvers, all of them Unbound, and changes to running ones.

use super::{
    certificates,
    daemon::{wait_until_ready, write_file},
};
use crate::{
    access_network::Ipv6,
    host::{Host, Transport},
    plan::{self, Extra, Extras},
    process::Process,
    wiring::{Hosts, find_host},
};
use anyhow::Result;
use futures::future::try_join_all;
use std::{
    fmt::Write as _,
    net::{Ipv4Addr, Ipv6Addr},
};

/// The source of a resolver's answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Upstream {
    /// The authoritative servers, starting at the root and queried from this address.
    Root(Ipv4Addr),
    /// Another resolver.
    Forward(Ipv4Addr),
}

/// The settings of a resolver.
#[derive(Clone, Copy, Debug)]
struct ResolverSettings<'a> {
    host: &'a str,
    listen: Ipv4Addr,
    /// An additional address to listen on.
    ///
    /// The resolver queries over IPv4 in any case, because the plan identifies it by its IPv4
    /// source address.
    listen_v6: Option<Ipv6Addr>,
    upstream: Upstream,
    /// Whether it supports DNS over TLS and over HTTPS.
    encrypted: bool,
    /// Whether it resolves the names of the content network to servers of its own choice.
    content: bool,
}

/// Starts the resolvers of a world.
///
/// Those of the VPN providers listen inside the tunnel, so the VPN servers must be running. Where
/// the laptop has only IPv6, Example VPN's resolver listens on IPv6 as well.
pub(crate) async fn start_resolvers(hosts: &Hosts, with: &Extras, ipv6: Ipv6) -> Result<Vec<Process>> {
    let split = with.contains(&Extra::SplitProvider);
    let vpn_source = if split { plan::VPN_RESOLVER_ELSEWHERE } else { plan::VPN_RESOLVER_SOURCE };
    let mut planned = vec![
        ("isp", plan::ISP_RESOLVER, Upstream::Root(plan::ISP_RESOLVER)),
        ("home-router", plan::ROUTER, Upstream::Forward(plan::ISP_RESOLVER)),
        ("vpn", plan::VPN_RESOLVER, Upstream::Root(vpn_source)),
        ("other-vpn", plan::OTHER_VPN_RESOLVER, Upstream::Root(plan::OTHER_VPN_RESOLVER_SOURCE)),
    ];
    planned.extend(plan::public_resolvers(with).into_iter().map(|(host, address)| {
        let source = if address == plan::ANYCAST_RESOLVER { plan::ANYCAST_SOURCE } else { address };
        (host, address, Upstream::Root(source))
    }));
    let content = with.contains(&Extra::ContentNetwork);
    let encrypted = |host: &str| host == "public-dns" && with.contains(&Extra::EncryptedDns);
    let all = planned.iter().map(|(host, listen, upstream)| ResolverSettings {
        host,
        listen: *listen,
        listen_v6: (*host == "vpn" && ipv6 == Ipv6::Only).then_some(plan::VPN_RESOLVER_V6),
        upstream: *upstream,
        encrypted: encrypted(host),
        content: content && matches!(upstream, Upstream::Root(_)),
    });
    try_join_all(all.map(|resolver| resolver.start(hosts))).await
}

/// Starts an additional resolver on one of a host's addresses.
pub(crate) async fn start_resolver(
    hosts: &Hosts,
    name: &str,
    listen: Ipv4Addr,
    upstream: Upstream,
) -> Result<Process> {
    ResolverSettings { host: name, listen, listen_v6: None, upstream, encrypted: false, content: false }
        .start(hosts)
        .await
}

/// Sends a command to the resolver of a host through `unbound-control`.
pub(crate) async fn control_resolver(host: &Host, words: &[&str]) -> Result<()> {
    let configuration = host.directory().join("unbound.conf").to_string_lossy().into_owned();
    host.output("unbound-control", &[&["-c", &configuration], words].concat(), "").await.map(drop)
}

/// Replaces the additional configuration of a host's resolver, and clears its cache.
pub(crate) async fn reconfigure_resolver(host: &Host, more: &str) -> Result<()> {
    write_file(host.directory(), "more.conf", more)?;
    control_resolver(host, &["reload"]).await
}

impl ResolverSettings<'_> {
    async fn start(self, hosts: &Hosts) -> Result<Process> {
        let host = find_host(hosts, self.host)?;
        let directory = host.directory();
        let mut sockets = vec![(Transport::Udp, 53), (Transport::Tcp, 53)];
        if self.encrypted {
            let names = [format!("DNS:{}", plan::PUBLIC_RESOLVER_NAME), format!("IP:{}", self.listen)];
            certificates::issue(hosts, host, "dns", &names).await?;
            sockets.extend([(Transport::Tcp, 853), (Transport::Tcp, 443)]);
        }
        write_file(directory, "more.conf", "")?;
        let path = write_file(directory, "unbound.conf", &self.configuration(host)?)?;
        let mut command = host.command("unbound");
        command.arg("-d").arg("-c").arg(path);
        let process = host.start_daemon("unbound", command)?;
        wait_until_ready(host, process, &sockets).await
    }

    /// Writes the configuration.
    ///
    /// - DNSSEC validation is off, because no zone of the lab is signed.
    /// - The answer to `id.server` (RFC 4892) is the name of the host.
    /// - One thread and small caches are enough, because many hosts share a machine.
    fn configuration(self, host: &Host) -> Result<String> {
        let directory = host.directory();
        let (clauses, zones) = self.clauses(host)?;
        let ipv6 = self.listen_v6.map_or_else(
            || "  do-ip6: no\n".to_owned(),
            |address| format!("  interface: {address}\n  access-control: ::/0 allow\n  prefer-ip4: yes\n"),
        );
        Ok(format!(
            "server:
  username: \"\"
  chroot: \"\"
  directory: \"{directory}\"
  pidfile: \"{directory}/unbound.pid\"
  use-syslog: no
{ipv6}  interface: {listen}
  access-control: 0.0.0.0/0 allow
  module-config: \"iterator\"
  identity: \"{name}\"
  num-threads: 1
  outgoing-range: 128
  num-queries-per-thread: 64
  msg-cache-size: 1m
  rrset-cache-size: 1m
  key-cache-size: 100k
  neg-cache-size: 100k
  prefetch: yes
  local-zone: \"example.\" nodefault
{clauses}remote-control:
  control-enable: yes
  control-use-cert: no
  control-interface: \"{directory}/control\"
{zones}include: \"{directory}/more.conf\"
",
            directory = directory.display(),
            listen = self.listen,
            name = self.host,
        ))
    }

    /// Returns the lines that differ: those of the server clause, and further clauses.
    fn clauses(self, host: &Host) -> Result<(String, String)> {
        let directory = host.directory();
        let (mut clauses, mut zones) = (String::new(), String::new());
        match self.upstream {
            Upstream::Root(source) => {
                let hints =
                    format!(". 3600 NS ns.root.example.\nns.root.example. 3600 A {}\n", plan::ROOT_DNS);
                let path = write_file(directory, "root.hints", &hints)?;
                write!(clauses, "  root-hints: \"{}\"\n  outgoing-interface: {source}\n", path.display())?;
                for (index, name) in plan::CONTENT.iter().enumerate().filter(|_| self.content) {
                    let server = plan::choose_content_server(index, source);
                    write!(
                        clauses,
                        "  local-zone: \"{name}.\" redirect\n  local-data: \"{name}. A {server}\"\n"
                    )?;
                }
            }
            Upstream::Forward(to) => write!(zones, "forward-zone:\n  name: \".\"\n  forward-addr: {to}\n")?,
        }
        if self.encrypted {
            let (listen, directory) = (self.listen, directory.display());
            write!(
                clauses,
                "  interface: {listen}@853\n  interface: {listen}@443\n  tls-port: 853\n  https-port: 443\n  \
                 tls-service-key: \"{directory}/dns.key\"\n  tls-service-pem: \"{directory}/dns.pem\"\n"
            )?;
        }
        Ok((clauses, zones))
    }
}
