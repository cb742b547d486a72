//! The window with the dashboard.
//!
//! Closing it destroys it together with its webview, and opening it creates a new one, so that the
//! program in the tray holds no webview.

use crate::ids;
use tauri::{AppHandle, Manager, WebviewUrl, WebviewWindowBuilder};

/// Brings the window to the front; creates it if there is none.
pub fn show(app: &AppHandle) {
    let app = app.clone();
    // A window created from within an event handler would deadlock on Windows.
    tauri::async_runtime::spawn(async move {
        let shown = match app.get_webview_window(ids::WINDOW) {
            Some(window) => {
                window.unminimize().and_then(|()| window.show()).and_then(|()| window.set_focus())
            }
            None => create(&app),
        };
        if let Err(cause) = shown {
            tracing::error!(%cause, "Cannot show the window");
        }
    });
}

fn create(app: &AppHandle) -> tauri::Result<()> {
    WebviewWindowBuilder::new(app, ids::WINDOW, WebviewUrl::default())
        .title("VPNSentinel")
        .inner_size(1000.0, 680.0)
        .min_inner_size(360.0, 480.0)
        // The dashboard is a single page; navigation to any other address is refused.
        .on_navigation(|url| url.scheme() == "tauri" || url.host_str() == Some("tauri.localhost"))
        .build()
        .map(drop)
}
