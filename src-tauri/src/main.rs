//! The VPNSentinel desktop program: the engine behind a tray icon, native notifications and a window on demand.
//!
//! `app` puts the parts together; every other module is one of them. State flows one way: the engine publishes snapshots,
//! `tray` and `bridge` show them; its outbox holds notices, `notify` shows those; menu and window send commands back.

#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

mod app;
mod bridge;
mod cli;
mod commands;
mod icons;
mod lifecycle;
mod menu;
mod notify;
mod startup;
mod theme;
mod tray;
mod tray_host;
mod window;
mod wording;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    app::run(cli::Cli::parse())
}
