//! The identifiers by which Tauri finds the tray icon and the window.

/// The id of the tray icon.
pub const TRAY: &str = "verdict";

/// The label of the window; the capability file names it too.
pub const WINDOW: &str = "main";
