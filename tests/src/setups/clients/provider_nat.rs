//! The exit of VPN servers other than the world's own WireGuard server.

use crate::{host::Host, internet::DEVICE, plan};
use anyhow::Result;

/// Gives packets from these networks the provider's exit addresses; `name` tells servers apart.
pub(crate) async fn translate(server: &Host, name: &str, v4: &str, v6: Option<&str>) -> Result<()> {
    let v6 = v6.map_or_else(String::new, |network| {
        format!("ip6 saddr {network} oifname {DEVICE} snat ip6 to {}", plan::VPN_EXIT_V6)
    });
    let rules = format!(
        "table inet exit_{name} {{
            chain postrouting {{
                type nat hook postrouting priority srcnat
                ip saddr {v4} oifname {DEVICE} snat ip to {}
                {v6}
            }}
        }}",
        plan::VPN_EXIT
    );
    server.output("nft", &["-f", "-"], &rules).await?;
    server.set_sysctl(&[("net/ipv4/ip_forward", "1"), ("net/ipv6/conf/all/forwarding", "1")])
}
