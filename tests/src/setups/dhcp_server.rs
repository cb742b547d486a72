//! The DHCP server of the home router.

use crate::{
    host::{Host, Transport},
    plan,
    process::Process,
};
use anyhow::Result;
use std::time::Duration;

/// Longest time until the server listens.
const READY: Duration = Duration::from_secs(10);

/// A running dnsmasq.
pub(super) struct DhcpServer {
    process: Process,
}

impl DhcpServer {
    /// Starts the server, which offers the laptop its planned address.
    pub(super) async fn start(router: &Host) -> Result<Self> {
        Ok(Self { process: start(router, None).await? })
    }

    /// Starts it anew, with or without a classless static route (RFC 3442) past the tunnel.
    pub(super) async fn restart(&mut self, router: &Host, route: Option<&str>) -> Result<()> {
        self.process.stop().await?;
        self.process = start(router, route).await?;
        Ok(())
    }
}

async fn start(router: &Host, route: Option<&str>) -> Result<Process> {
    let gateway = plan::ROUTER;
    let mut command = router.command("dnsmasq");
    command
        .args(["--no-daemon", "--conf-file=/dev/null", "--pid-file=", "--bind-interfaces", "--no-ping"])
        .args(["--port=0", "--interface=lan", "--dhcp-authoritative"])
        .arg(format!("--dhcp-leasefile={}", router.directory().join("setup.leases").display()))
        .arg(format!("--dhcp-range={own},{own},255.255.255.0,1h", own = plan::LAPTOP))
        .arg(format!("--dhcp-option=option:router,{gateway}"))
        .arg(format!("--dhcp-option=option:dns-server,{gateway}"));
    if let Some(route) = route {
        // With this option clients ignore the one for the router, so it repeats the default route.
        command.arg(format!("--dhcp-option=121,{route},{gateway},0.0.0.0/0,{gateway}"));
    }
    let mut process = router.start_daemon("setup-dhcp", command)?;
    router.wait_for_server(&mut process, Transport::Udp, 67, READY).await?;
    Ok(process)
}
