//! The command line.

use clap::Parser;
use std::path::PathBuf;

/// Tells within a second when your VPN stops protecting you.
#[derive(Clone, Debug, Parser)]
#[command(name = "vpnsentinel", version)]
pub struct Cli {
    /// The configuration file to use instead of the default, which is created on the first start
    #[arg(long, value_name = "PATH", env = "VPNSENTINEL_CONFIG")]
    pub config: Option<PathBuf>,

    /// Start in the tray, without a window
    #[arg(long)]
    pub minimized: bool,
}

impl Cli {
    /// Returns the arguments with which the program is started at login.
    pub fn login_arguments(&self) -> Vec<String> {
        let mut arguments = vec!["--minimized".to_owned()];
        if let Some(config) = &self.config {
            let path = std::path::absolute(config).unwrap_or_else(|_| config.clone());
            arguments.extend(["--config".to_owned(), path.display().to_string()]);
        }
        arguments
    }
}
