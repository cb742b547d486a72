//! The log goes to standard error; standard output is for what was asked for.

use std::io::{self, IsTerminal};
use tracing_subscriber::EnvFilter;

/// What other people's crates say matters only when something is wrong.
const QUIET: &str = "libp2p=warn,hickory=warn,multistream_select=warn,yamux=warn,netlink=warn";

/// Starts logging at the given level, unless `RUST_LOG` says otherwise.
pub(crate) fn start(level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        EnvFilter::new(if level == "error" { "error".to_owned() } else { format!("{level},{QUIET}") })
    });
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
}
