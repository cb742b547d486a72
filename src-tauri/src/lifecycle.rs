//! When the program ends, and how: tell the other nodes, close the store, then go; bounded by the engine's five seconds.

use crate::{tray, tray_host::TrayHost};
use sentinel_engine::Engine;
use std::sync::atomic::{AtomicBool, Ordering};
use tauri::{AppHandle, Manager, RunEvent};

/// Whether the program is already ending.
#[derive(Debug, Default)]
pub struct Quitting(AtomicBool);

/// The last window was closed: stay in the tray; without one nobody could find the program again, so end.
#[allow(clippy::needless_pass_by_value)] // the event loop hands it over by value
pub fn on_event(app: &AppHandle, event: RunEvent) {
    if let RunEvent::ExitRequested { code: None, api, .. } = event {
        api.prevent_exit();
        if !app.try_state::<TrayHost>().is_some_and(|host| host.is_present()) {
            tracing::info!("the window was closed and there is no tray to stay in: ending");
            quit(app);
        }
    }
}

/// Ends the program. Returns at once; the end comes when the engine has stopped.
pub fn quit(app: &AppHandle) {
    if app.state::<Quitting>().0.swap(true, Ordering::Relaxed) {
        return;
    }
    // What is seen goes at once, what is not may take its time.
    if let Some(icon) = app.tray_by_id(tray::ID) {
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

/// Ends the program when the session or the person asks for it by signal.
pub async fn quit_on_signal(app: AppHandle) {
    match signal().await {
        Ok(name) => {
            tracing::info!("ending on {name}");
            quit(&app);
        }
        Err(cause) => tracing::warn!(%cause, "cannot listen for signals; they will end the program abruptly"),
    }
}

#[cfg(unix)]
async fn signal() -> std::io::Result<&'static str> {
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
async fn signal() -> std::io::Result<&'static str> {
    tokio::signal::ctrl_c().await.map(|()| "Ctrl+C")
}
