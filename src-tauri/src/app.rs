//! Joins the parts of the program and runs it.

use crate::{
    bridge,
    cli::Cli,
    commands, lifecycle,
    notify::{self, Notification, Notifier},
    panel_theme::{self, PanelTheme},
    startup::{self, RunningEngine},
    tray::{Tray, TrayContent, TrayHost},
    window,
};
use sentinel_engine::Engine;
use std::{
    panic::{self, AssertUnwindSafe},
    path::Path,
    process::ExitCode,
    time::Duration,
};
use tauri::{App, AppHandle, Manager, async_runtime};
use tokio::{sync::watch, time::timeout};
use tracing_subscriber::EnvFilter;

/// How long the desktop's panel may take to appear at login before it counts as missing.
const TRAY_HOST_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs the program until it exits.
pub fn run(cli: Cli) -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();

    let builder = tauri::Builder::default();
    #[cfg(not(target_os = "linux"))]
    let builder = builder.plugin(tauri_plugin_notification::init());
    let built = builder
        // Registered first, so that a second instance exits before it changes anything.
        .plugin(tauri_plugin_single_instance::init(|app, _, _| window::show(app)))
        .plugin(
            tauri_plugin_autostart::Builder::new()
                .app_name("VPNSentinel")
                .args(cli.login_arguments())
                .build(),
        )
        .manage(lifecycle::Quitting::default())
        .invoke_handler(tauri::generate_handler![commands::snapshot, commands::command])
        .setup(move |app| {
            initialize(app, &cli);
            Ok(())
        })
        .build(tauri::generate_context!());
    match built {
        Ok(app) => match u8::try_from(app.run_return(lifecycle::on_event)) {
            Ok(code) => ExitCode::from(code),
            Err(_) => ExitCode::FAILURE,
        },
        Err(cause) => {
            tracing::error!(
                "The desktop program cannot start: {cause}. On a machine without a desktop, use vpnsentinel-node"
            );
            ExitCode::FAILURE
        }
    }
}

/// The services of the desktop that the parts use.
struct DesktopServices {
    panel_themes: watch::Receiver<PanelTheme>,
    tray_host: TrayHost,
    notifier: Notifier,
}

#[cfg(target_os = "linux")]
async fn connect_desktop(_: &AppHandle) -> DesktopServices {
    let bus = zbus::Connection::session().await;
    let bus = bus.inspect_err(|cause| tracing::warn!(%cause, "There is no session bus")).ok();
    DesktopServices {
        panel_themes: panel_theme::follow(bus.clone()).await,
        tray_host: TrayHost::follow(bus.clone()).await,
        notifier: Notifier::new(bus),
    }
}

#[cfg(not(target_os = "linux"))]
async fn connect_desktop(app: &AppHandle) -> DesktopServices {
    DesktopServices {
        panel_themes: panel_theme::follow().await,
        tray_host: TrayHost::follow().await,
        notifier: Notifier::new(app.clone()),
    }
}

fn initialize(app: &mut App, cli: &Cli) {
    let app = app.handle();
    let mut desktop = async_runtime::block_on(connect_desktop(app));
    match async_runtime::block_on(startup::start(cli.config.as_deref())) {
        Ok(started) => start_parts(app, cli, started, desktop),
        Err(cause) => {
            let reason = format!("{cause:#}");
            tracing::error!("Cannot start: {reason}");
            let notification = Notification::about_program("VPNSentinel cannot start", &reason);
            if let Err(cause) = async_runtime::block_on(desktop.notifier.show(&notification)) {
                tracing::warn!("Cannot show a notification: {cause:#}");
            }
            app.exit(1);
        }
    }
}

fn start_parts(app: &AppHandle, cli: &Cli, started: RunningEngine, desktop: DesktopServices) {
    let RunningEngine { engine, state_dir } = started;
    let DesktopServices { panel_themes, tray_host, notifier } = desktop;
    app.manage(engine.clone());

    let panel_theme = *panel_themes.borrow();
    let tray_host = match create_tray(app, &engine, panel_theme, &state_dir) {
        Ok(tray) => {
            async_runtime::spawn(tray.follow(app.clone(), engine.snapshot(), panel_themes));
            tray_host
        }
        Err(cause) => {
            tracing::warn!("Continuing without a tray icon: {cause:#}");
            TrayHost::absent()
        }
    };
    app.manage(tray_host.clone());
    if cli.minimized {
        async_runtime::spawn(open_window_without_tray(app.clone(), tray_host));
    } else {
        window::show(app);
    }

    async_runtime::spawn(bridge::forward_snapshots(app.clone(), engine.snapshot()));
    async_runtime::spawn(notify::deliver_notices(engine, notifier));
    async_runtime::spawn(lifecycle::quit_on_signal(app.clone()));
}

/// Creates the tray icon.
///
/// The library behind it is loaded only now, and panics if it is missing.
fn create_tray(
    app: &AppHandle,
    engine: &Engine,
    panel_theme: PanelTheme,
    state_dir: &Path,
) -> anyhow::Result<Tray> {
    let content = TrayContent::from(&**engine.snapshot().borrow());
    let bitmaps = state_dir.join("tray");
    panic::catch_unwind(AssertUnwindSafe(|| Tray::create(app, content, panel_theme, &bitmaps)))
        .unwrap_or_else(|_| {
            anyhow::bail!("the library for tray icons is missing; install libayatana-appindicator3")
        })
}

/// Opens the window if nothing shows the tray icon, because the program would be invisible
/// otherwise.
async fn open_window_without_tray(app: AppHandle, tray_host: TrayHost) {
    if timeout(TRAY_HOST_TIMEOUT, tray_host.wait_until_present()).await.is_err() {
        tracing::warn!("This desktop shows no tray icons, so the window opens instead");
        window::show(&app);
    }
}
