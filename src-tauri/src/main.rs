//! The VPNSentinel desktop program: the engine with a tray icon, notifications and a window.
//!
//! `app` joins the parts; every other module is one of them. State flows one way: the engine
//! publishes snapshots, which `tray` and `bridge` show, and its outbox holds notices, which
//! `notify` shows. The menu and the window send commands back.

#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

mod app;
mod bridge;
mod cli;
mod commands;
mod ids;
mod lifecycle;
mod notify;
mod panel_theme;
mod shapes;
mod startup;
mod tray;
mod window;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    app::run(cli::Cli::parse())
}
