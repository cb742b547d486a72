//! The recursive resolvers, all of them Unbound, and how a running one is told something else.

use super::{certificates, ready, write};
use crate::{
    host::{Host, Transport},
    place::Ipv6,
    plan::{self, Extra, Extras},
    process::Process,
    wiring::{Hosts, host},
};
use anyhow::Result;
use futures::future::try_join_all;
use std::{
    fmt::Write as _,
    net::{Ipv4Addr, Ipv6Addr},
};

/// Where a resolver gets its answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Upstream {
    /// From the authoritative servers, starting at the root, asking from this address.
    Root(Ipv4Addr),
    /// From another resolver.
    Forward(Ipv4Addr),
}

/// A resolver to be started.
#[derive(Clone, Copy, Debug)]
struct Resolver<'a> {
    host: &'a str,
    listen: Ipv4Addr,
    /// Where it listens besides. It asks over IPv4 either way: its sources, by which the world knows it, are IPv4
    /// addresses.
    over_v6: Option<Ipv6Addr>,
    upstream: Upstream,
    /// Whether it speaks DNS over TLS and over HTTPS too.
    encrypted: bool,
    /// Whether it gives names of the content network servers of its own choice.
    content: bool,
}

/// Starts the resolvers; the providers' need their side of the tunnel to be there. Where the laptop has nothing but
/// IPv6, Example VPN's listens there too.
pub(crate) async fn start(hosts: &Hosts, with: &Extras, ipv6: Ipv6) -> Result<Vec<Process>> {
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
    let all = planned.iter().map(|(host, listen, upstream)| Resolver {
        host,
        listen: *listen,
        over_v6: (*host == "vpn" && ipv6 == Ipv6::Only).then_some(plan::VPN_RESOLVER_V6),
        upstream: *upstream,
        encrypted: encrypted(host),
        content: content && matches!(upstream, Upstream::Root(_)),
    });
    try_join_all(all.map(|resolver| resolver.start(hosts))).await
}

/// Starts one more resolver on a host, on one of its addresses.
pub(crate) async fn start_one(
    hosts: &Hosts,
    name: &str,
    listen: Ipv4Addr,
    upstream: Upstream,
) -> Result<Process> {
    Resolver { host: name, listen, over_v6: None, upstream, encrypted: false, content: false }
        .start(hosts)
        .await
}

/// Tells the resolver of a host something by `unbound-control`.
pub(crate) async fn control(host: &Host, words: &[&str]) -> Result<()> {
    let configuration = host.directory().join("unbound.conf").to_string_lossy().into_owned();
    host.output("unbound-control", &[&["-c", &configuration], words].concat(), "").await.map(drop)
}

/// Replaces what the resolver of a host is configured to do besides the usual, and lets it forget what it knows.
pub(crate) async fn reconfigure(host: &Host, more: &str) -> Result<()> {
    write(host.directory(), "more.conf", more)?;
    control(host, &["reload"]).await
}

impl Resolver<'_> {
    async fn start(self, hosts: &Hosts) -> Result<Process> {
        let host = host(hosts, self.host)?;
        let directory = host.directory();
        let mut sockets = vec![(Transport::Udp, 53), (Transport::Tcp, 53)];
        if self.encrypted {
            let names = [format!("DNS:{}", plan::PUBLIC_RESOLVER_NAME), format!("IP:{}", self.listen)];
            certificates::issue(hosts, host, "dns", &names).await?;
            sockets.extend([(Transport::Tcp, 853), (Transport::Tcp, 443)]);
        }
        write(directory, "more.conf", "")?;
        let path = write(directory, "unbound.conf", &self.configuration(host)?)?;
        let mut command = host.command("unbound");
        command.arg("-d").arg("-c").arg(path);
        let process = host.daemon("unbound", command)?;
        ready(host, process, &sockets).await
    }

    /// Without the validator: nothing here is signed. Asked for `id.server` (RFC 4892), it names its host. One thread and small caches: many hosts share a machine.
    fn configuration(self, host: &Host) -> Result<String> {
        let directory = host.directory();
        let (clauses, zones) = self.clauses(host)?;
        let over_v6 = self.over_v6.map_or_else(
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
{over_v6}  interface: {listen}
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

    /// What goes into the server's clause, and what makes clauses of its own.
    fn clauses(self, host: &Host) -> Result<(String, String)> {
        let directory = host.directory();
        let (mut clauses, mut zones) = (String::new(), String::new());
        match self.upstream {
            Upstream::Root(source) => {
                let hints =
                    format!(". 3600 NS ns.root.example.\nns.root.example. 3600 A {}\n", plan::ROOT_DNS);
                let path = write(directory, "root.hints", &hints)?;
                write!(clauses, "  root-hints: \"{}\"\n  outgoing-interface: {source}\n", path.display())?;
                for (index, name) in plan::CONTENT.iter().enumerate().filter(|_| self.content) {
                    let server = plan::content_server(index, source);
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
