//! When and how the program exits.
//!
//! The engine informs the other nodes and closes the store first, within its limit of five seconds.

use crate::{ids, tray::TrayHost};
use sentinel_engine::Engine;
use std::sync::atomic::{AtomicBool, Ordering};
use tauri::{AppHandle, Manager, RunEvent};

/// Set once the program has begun to exit.
#[derive(Debug, Default)]
pub struct Quitting(AtomicBool);

/// Keeps the program running in the tray after the last window was closed.
///
/// Without a tray it could not be reached any more, so it exits.
#[allow(clippy::needless_pass_by_value, reason = "the event loop passes the event by value")]
pub fn on_event(app: &AppHandle, event: RunEvent) {
    if let RunEvent::ExitRequested { code: None, api, .. } = event {
        api.prevent_exit();
        if !app.try_state::<TrayHost>().is_some_and(|host| host.is_present()) {
            tracing::info!("The window was closed and there is no tray, so the program exits");
            quit(app);
        }
    }
}

/// Starts to exit the program. Returns at once; the program exits when the engine has stopped.
pub fn quit(app: &AppHandle) {
    if app.state::<Quitting>().0.swap(true, Ordering::Relaxed) {
        return;
    }
    // Icon and windows disappear at once, although stopping the engine takes longer.
    if let Some(icon) = app.tray_by_id(ids::TRAY) {
        let _ = icon.set_visible(false);
    }
    for window in app.webview_windows().values() {
        let _ = window.hide();
    }
    let app = app.clone();
    tauri::async_runtime::spawn(async move {
        if let Some(engine) = app.try_state::<Engine>() {
            engine.shutdown().await;
        }
        app.exit(0);
    });
}

/// Exits the program when it receives a signal to terminate.
pub async fn quit_on_signal(app: AppHandle) {
    match wait_for_signal().await {
        Ok(name) => {
            tracing::info!("Exiting on {name}");
            quit(&app);
        }
        Err(cause) => tracing::warn!(%cause, "Cannot handle signals; one will end the program abruptly"),
    }
}

#[cfg(unix)]
async fn wait_for_signal() -> std::io::Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt, mut hangup) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?);
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
        _ = hangup.recv() => "SIGHUP",
    })
}

#[cfg(not(unix))]
async fn wait_for_signal() -> std::io::Result<&'static str> {
    tokio::signal::ctrl_c().await.map(|()| "Ctrl+C")
}
