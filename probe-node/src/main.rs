//! `vpnsentinel-node`: the headless VPNSentinel node and the commands that control it.
//!
//! `cli` holds the argument types and `commands` carries them out: `run` starts the node with its
//! HTTP API (`api`), the others talk to a running node through `client`. What they print is turned
//! into text by `render` and written by `terminal`.

mod api;
mod cli;
mod client;
mod commands;
mod exit_status;
mod logging;
mod render;
mod terminal;

use clap::{Parser, error::ErrorKind};
use exit_status::ExitStatus;
use std::process::ExitCode;

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    match cli::Cli::try_parse() {
        Ok(cli) => commands::run_command(cli).await.into(),
        Err(usage) => {
            let is_help = matches!(usage.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // If the output is closed, the exit code is all that is left.
            let _ = usage.print();
            if is_help { ExitStatus::Success.into() } else { ExitStatus::Error.into() }
        }
    }
}
