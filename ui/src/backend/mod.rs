//! Where snapshots come from and where commands go.
//!
//! Either the desktop app that this window belongs to, or the node that served this page. Both use
//! the same JSON, so that nothing above this folder depends on which it is.

mod browser;
mod http;
mod messages;
mod tauri;

pub use browser::browser_time;
pub use messages::{Listener, StreamEvent, TimedSnapshot};

use sentinel_model::{Command, CommandError, Reply};

/// The connection to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The node that served this page: HTTP and server-sent events.
    Http,
    /// The desktop app that this window belongs to.
    Tauri,
}

impl Backend {
    /// Detects the backend of the environment that this page runs in.
    pub fn detect() -> Self {
        if tauri::is_present() { Self::Tauri } else { Self::Http }
    }

    /// Fetches the current snapshot. The error is a sentence for the person.
    pub async fn snapshot(self) -> Result<TimedSnapshot, String> {
        match self {
            Self::Http => http::snapshot().await,
            Self::Tauri => tauri::snapshot().await,
        }
    }

    /// Carries out a command.
    pub async fn command(self, command: &Command) -> Result<Reply, CommandError> {
        match self {
            Self::Http => http::command(command).await,
            Self::Tauri => tauri::command(command).await,
        }
        .map_err(|message| CommandError { message })
    }

    /// Calls `listener` with every event of the stream until the page is closed.
    pub fn follow(self, listener: Listener) {
        match self {
            Self::Http => http::follow(listener),
            Self::Tauri => tauri::follow(listener),
        }
    }
}
