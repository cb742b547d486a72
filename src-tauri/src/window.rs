//! The dashboard's window. It exists only while it is looked at: closing it destroys it together with its webview, and
//! opening it makes a new one.

use tauri::{AppHandle, Manager, WebviewUrl, WebviewWindowBuilder};

/// The window's label, which the capability file names too.
pub const MAIN: &str = "main";

/// Brings the window to the front, making it if need be.
pub fn show(app: &AppHandle) {
    let app = app.clone();
    // Never from within an event handler: on Windows that waits for itself.
    tauri::async_runtime::spawn(async move {
        let shown = match app.get_webview_window(MAIN) {
            Some(window) => {
                window.unminimize().and_then(|()| window.show()).and_then(|()| window.set_focus())
            }
            None => create(&app),
        };
        if let Err(cause) = shown {
            tracing::error!(%cause, "cannot show the window");
        }
    });
}

fn create(app: &AppHandle) -> tauri::Result<()> {
    WebviewWindowBuilder::new(app, MAIN, WebviewUrl::default())
        .title("VPNSentinel")
        .inner_size(1000.0, 680.0)
        .min_inner_size(360.0, 480.0)
        // The dashboard has one page of its own and no reason to go anywhere else.
        .on_navigation(|url| url.scheme() == "tauri" || url.host_str() == Some("tauri.localhost"))
        .build()
        .map(drop)
}
