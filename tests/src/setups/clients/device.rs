//! A WireGuard device that a client of its own kind configures.

use crate::{host::Host, plan, setups::site::Site, vpn::WireGuardDevice};
use anyhow::Result;
use std::net::SocketAddr;

/// Creates a device on a host and configures its peer, with a firewall mark if one is given.
///
/// It has no address and is down.
pub(super) async fn create_tunnel(
    site: Site<'_>,
    host: &Host,
    device: &str,
    mark: Option<&str>,
) -> Result<WireGuardDevice> {
    let created = WireGuardDevice::create(host, device).await?;
    let mark = mark.map(|mark| format!("FwMark = {mark}\n")).unwrap_or_default();
    let configuration = format!(
        "[Interface]\nPrivateKey = {}\n{mark}[Peer]\nPublicKey = {}\nEndpoint = {}\nAllowedIPs = 0.0.0.0/0\n",
        site.world.tunnel.keys.private,
        site.world.vpn.public_key,
        SocketAddr::new(site.endpoint(), plan::WIREGUARD_PORT)
    );
    host.output("wg", &["setconf", device, "/dev/stdin"], &configuration).await?;
    Ok(created)
}

/// Runs lines of `ip`, in which `DEV` is the device and `OWN` the tunnel's address.
pub(super) async fn configure(host: &Host, device: &str, lines: &str) -> Result<()> {
    host.run_ip(&lines.replace("DEV", device).replace("OWN", &plan::TUNNEL.to_string())).await
}

/// Runs a shell script in which nothing may fail the whole: it clears away what may be there.
pub(super) async fn clear_away(host: &Host, script: &str) -> Result<()> {
    host.output("sh", &["-c", &format!("exec 2>/dev/null\n{script}\ntrue")], "").await.map(drop)
}
