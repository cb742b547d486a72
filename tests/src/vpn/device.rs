//! WireGuard keys and devices.

use crate::{
    host::{Host, run_to_end},
    process::Process,
};
use anyhow::Result;
use std::time::{Duration, Instant};
use tokio::{process::Command, time::sleep};

/// A WireGuard key pair.
#[derive(Debug)]
pub(crate) struct KeyPair {
    pub(crate) private: String,
    pub(crate) public: String,
}

impl KeyPair {
    pub(crate) async fn generate() -> Result<Self> {
        let mut command = Command::new("wg");
        command.arg("genkey");
        let private = run_to_end(command, "").await?.trim().to_owned();
        let mut command = Command::new("wg");
        command.arg("pubkey");
        let public = run_to_end(command, &private).await?.trim().to_owned();
        Ok(Self { private, public })
    }
}

/// A WireGuard device.
#[derive(Debug)]
pub(crate) struct WireGuardDevice {
    /// The process that implements the device in user space; the device exists as long as it runs.
    process: Option<Process>,
}

impl WireGuardDevice {
    /// Creates a device in the kernel where it supports WireGuard, else with wireguard-go.
    pub(crate) async fn create(host: &Host, name: &str) -> Result<Self> {
        if host.run_ip(&format!("link add {name} type wireguard")).await.is_ok() {
            return Ok(Self { process: None });
        }
        let mut command = host.command("wireguard-go");
        command.arg("-f").arg(name).env("LOG_LEVEL", "error");
        let mut process = host.start_daemon("wireguard-go", command)?;
        let socket = host.directory().join("wireguard").join(format!("{name}.sock"));
        let deadline = Instant::now() + Duration::from_secs(5);
        while !socket.exists() {
            let waited = Instant::now() < deadline && process.is_running();
            process.add_log(if waited {
                Ok(())
            } else {
                Err(anyhow::anyhow!("no WireGuard device on {}", host.name()))
            })?;
            sleep(Duration::from_millis(5)).await;
        }
        Ok(Self { process: Some(process) })
    }

    /// Ends the process of a device in user space.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        match &mut self.process {
            Some(process) => process.stop().await,
            None => Ok(()),
        }
    }
}
