//! The public STUN servers: coturn.

use super::daemon::wait_until_ready;
use crate::{
    host::Transport,
    plan,
    process::Process,
    wiring::{Hosts, find_host},
};
use anyhow::Result;
use std::net::IpAddr;

/// Starts one STUN server on its host.
pub(super) async fn start(hosts: &Hosts, name: &str, addresses: &[IpAddr]) -> Result<Process> {
    let host = find_host(hosts, name)?;
    let directory = host.directory();
    let mut command = host.command("turnserver");
    command
        .args([
            "-n",
            "--stun-only",
            "--no-cli",
            "--no-tls",
            "--no-dtls",
            "--no-rfc5780",
            "--no-software-attribute",
        ])
        .args(["--log-file", "stdout", "--simple-log", "--relay-threads", "1"])
        .args(addresses.iter().flat_map(|address| ["--listening-ip".to_owned(), address.to_string()]))
        .args(["--listening-port", &plan::STUN_PORT.to_string()])
        .arg("--pidfile")
        .arg(directory.join("turnserver.pid"))
        .arg("--userdb")
        .arg(directory.join("turndb"));
    let process = host.start_daemon("turnserver", command)?;
    wait_until_ready(host, process, &[(Transport::Udp, plan::STUN_PORT)]).await
}
