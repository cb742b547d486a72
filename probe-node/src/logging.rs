//! The log, which goes to standard error; standard output carries a command's result.

use std::io::{self, IsTerminal};
use tracing_subscriber::EnvFilter;

/// The filter of a running node. Messages of other crates matter only when something is wrong.
pub(crate) const NODE_FILTER: &str =
    "info,libp2p=warn,hickory=warn,multistream_select=warn,yamux=warn,netlink=warn";

/// The filter of every other command.
pub(crate) const COMMAND_FILTER: &str = "error";

/// Starts logging with this filter, unless `RUST_LOG` sets another.
pub(crate) fn init(default_filter: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default_filter));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
}
