//! Everything the checks ask of the operating system, with one folder per system.
//!
//! Linux is complete. macOS and Windows implement what their systems offer. Elsewhere, whatever has
//! no portable implementation is `Unknown(Unsupported)`.

mod api;
#[cfg(any(target_os = "macos", target_os = "windows"))]
mod blocking;
#[cfg(target_os = "linux")]
pub(crate) mod linux;
#[cfg(any(target_os = "macos", test))]
pub(crate) mod macos;
mod name_service;
#[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows", test))]
mod on_link;
#[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows", test))]
mod prefix;
#[cfg(any(target_os = "macos", target_os = "windows", test))]
mod routing_table;
#[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows", test))]
mod sleep;
#[cfg(any(not(target_os = "linux"), test))]
mod source_address;
mod timing;
#[cfg(any(not(any(target_os = "linux", target_os = "macos", target_os = "windows")), test))]
mod unsupported;
#[cfg(any(target_os = "macos", target_os = "windows", test))]
mod watcher;
#[cfg(any(target_os = "windows", test))]
pub(crate) mod windows;

pub use api::{Change, FarEnd, PacketKind, Platform, Probe, ProbeReply, RouteSample, SocketQuery};
pub use name_service::{NameService, NameServiceError};

use crate::error::CheckError;
use std::sync::Arc;

/// Creates the platform of this system. Requires a running Tokio runtime.
#[cfg(target_os = "linux")]
pub fn platform() -> Result<Arc<dyn Platform>, CheckError> {
    Ok(Arc::new(linux::Linux::new()?))
}

/// Creates the platform of this system. Requires a running Tokio runtime.
#[cfg(target_os = "macos")]
pub fn platform() -> Result<Arc<dyn Platform>, CheckError> {
    Ok(Arc::new(macos::MacOs))
}

/// Creates the platform of this system. Requires a running Tokio runtime.
#[cfg(target_os = "windows")]
pub fn platform() -> Result<Arc<dyn Platform>, CheckError> {
    Ok(Arc::new(windows::Windows))
}

/// Creates the platform of this system. Requires a running Tokio runtime.
#[cfg(not(any(target_os = "linux", target_os = "macos", target_os = "windows")))]
pub fn platform() -> Result<Arc<dyn Platform>, CheckError> {
    Ok(Arc::new(unsupported::Unsupported))
}
