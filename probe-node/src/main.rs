//! `vpnsentinel-node`: the headless VPNSentinel node and the commands to talk to it.

mod api;
mod check;
mod cli;
mod client;
mod history;
mod home;
mod logging;
mod pair;
mod print;
mod run;

use clap::{Parser, error::ErrorKind};
use std::process::ExitCode;

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    match cli::Cli::try_parse() {
        Ok(cli) => cli::carry_out(cli).await,
        Err(usage) => {
            let asked_for = matches!(usage.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // Where nobody reads it, there is nobody to tell either.
            let _ = usage.print();
            if asked_for { ExitCode::SUCCESS } else { cli::ERROR.into() }
        }
    }
}
