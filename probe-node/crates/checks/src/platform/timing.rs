//! Time limits and bounds shared by the change watchers of all systems.

use std::time::Duration;

/// How long to collect further events after the first.
///
/// One command or one connecting VPN causes many events. Together with reading the state, this
/// stays within the 20 ms that a change may take to be reported.
#[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows", test))]
pub(super) const SETTLE: Duration = Duration::from_millis(10);

/// How often to compare what the system has no notification for, and to check for a wake-up.
pub(super) const COMPARE_EVERY: Duration = Duration::from_secs(1);

/// How many unread changes are kept for the receiver; watching pauses beyond it.
#[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows", test))]
pub(super) const QUEUE: usize = 32;

/// How long to wait after an event source failed.
#[cfg(target_os = "linux")]
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);
