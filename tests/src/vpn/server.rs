//! The WireGuard server of a VPN provider.

use super::{
    device::{KeyPair, WireGuardDevice},
    provider::{Provider, ProviderIpv6},
};
use crate::{host::Host, internet::DEVICE, plan};
use anyhow::Result;
use std::net::Ipv4Addr;

/// The running WireGuard server of a provider.
#[derive(Debug)]
pub(crate) struct VpnServer {
    pub(crate) provider: Provider,
    pub(crate) public_key: String,
    host: Host,
    _device: WireGuardDevice,
}

impl VpnServer {
    /// Starts the server with the laptop as its only client.
    pub(crate) async fn start(host: &Host, provider: Provider, client: &KeyPair) -> Result<Self> {
        let keys = KeyPair::generate().await?;
        let device = WireGuardDevice::create(host, "wgs0").await?;
        let v6_client = provider.v6.map(|v6| format!(", {}/128", v6.client)).unwrap_or_default();
        let configuration = format!(
            "[Interface]\nPrivateKey = {}\nListenPort = {}\n[Peer]\nPublicKey = {}\nAllowedIPs = {}/32{v6_client}\n",
            keys.private,
            plan::WIREGUARD_PORT,
            client.public,
            provider.client
        );
        host.output("wg", &["setconf", "wgs0", "/dev/stdin"], &configuration).await?;
        host.run_ip(&format!("address add {}/24 dev wgs0\nlink set wgs0 mtu 1420 up\n", provider.inside))
            .await?;
        host.set_sysctl(&[("net/ipv4/ip_forward", "1")])?;
        if let Some(v6) = provider.v6 {
            translate_v6(host, v6).await?;
        }
        let server = Self { provider, public_key: keys.public, host: host.clone(), _device: device };
        server.set_exit(provider.exit).await?;
        Ok(server)
    }

    /// Changes the exit address of new flows out of the tunnel. Existing flows keep theirs.
    pub(crate) async fn set_exit(&self, exit: Ipv4Addr) -> Result<()> {
        let rules = format!(
            "table ip exit {{}}
            flush table ip exit
            table ip exit {{
                chain postrouting {{
                    type nat hook postrouting priority srcnat
                    ip saddr {}/24 oifname {DEVICE} snat to {exit}
                }}
            }}",
            self.provider.inside
        );
        self.host.output("nft", &["-f", "-"], &rules).await.map(drop)
    }
}

/// Enables IPv6 on the server, and translates it to the provider's exit address.
async fn translate_v6(host: &Host, v6: ProviderIpv6) -> Result<()> {
    host.run_ip(&format!("address add {}/64 dev wgs0 nodad\n", v6.inside)).await?;
    host.set_sysctl(&[("net/ipv6/conf/all/forwarding", "1")])?;
    let rules = format!(
        "table ip6 exit {{
            chain postrouting {{
                type nat hook postrouting priority srcnat
                ip6 saddr {}/64 oifname {DEVICE} snat to {}
            }}
        }}",
        v6.inside, v6.exit
    );
    host.output("nft", &["-f", "-"], &rules).await.map(drop)
}
