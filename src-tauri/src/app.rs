//! Puts the parts together.

use crate::{
    bridge,
    cli::Cli,
    commands, lifecycle,
    notify::{self, Message, Notifier},
    startup::{self, Started},
    theme::{self, Panel},
    tray::Tray,
    tray_host::TrayHost,
    window,
    wording::Words,
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

/// At login the panel may start after us; before this much time has passed its absence says nothing.
const TRAY_HOST_APPEARS: Duration = Duration::from_secs(10);

/// Runs the program to its end.
pub fn run(cli: Cli) -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();

    let builder = tauri::Builder::default();
    #[cfg(not(target_os = "linux"))]
    let builder = builder.plugin(tauri_plugin_notification::init());
    let built = builder
        // First, so that a second start ends before it touches anything.
        .plugin(tauri_plugin_single_instance::init(|app, _, _| window::show(app)))
        .plugin(tauri_plugin_autostart::Builder::new().app_name("VPNSentinel").args(cli.at_login()).build())
        .manage(lifecycle::Quitting::default())
        .invoke_handler(tauri::generate_handler![commands::snapshot, commands::command])
        .setup(move |app| {
            set_up(app, &cli);
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
                "the desktop program cannot start: {cause}. Use vpnsentinel-node where there is no desktop"
            );
            ExitCode::FAILURE
        }
    }
}

/// What the parts need of the desktop they run on.
struct Desktop {
    panels: watch::Receiver<Panel>,
    host: TrayHost,
    notifier: Notifier,
}

#[cfg(target_os = "linux")]
async fn desktop(_: &AppHandle) -> Desktop {
    let bus = zbus::Connection::session().await;
    let bus = bus.inspect_err(|cause| tracing::warn!(%cause, "there is no session bus")).ok();
    Desktop {
        panels: theme::follow(bus.clone()).await,
        host: TrayHost::follow(bus.clone()).await,
        notifier: Notifier::new(bus),
    }
}

#[cfg(not(target_os = "linux"))]
async fn desktop(app: &AppHandle) -> Desktop {
    Desktop {
        panels: theme::follow().await,
        host: TrayHost::follow().await,
        notifier: Notifier::new(app.clone()),
    }
}

fn set_up(app: &mut App, cli: &Cli) {
    let app = app.handle();
    let mut desktop = async_runtime::block_on(desktop(app));
    match async_runtime::block_on(startup::start(cli.config.as_deref())) {
        Ok(started) => wire(app, cli, started, desktop),
        Err(cause) => {
            let reason = format!("{cause:#}");
            tracing::error!("cannot start: {reason}");
            let message = Message::own("VPNSentinel cannot start", &reason);
            if let Err(cause) = async_runtime::block_on(desktop.notifier.show(&message)) {
                tracing::warn!("cannot show a notification: {cause:#}");
            }
            app.exit(1);
        }
    }
}

fn wire(app: &AppHandle, cli: &Cli, started: Started, desktop: Desktop) {
    let Started { engine, state_dir } = started;
    let Desktop { panels, host, notifier } = desktop;
    app.manage(engine.clone());

    let panel = *panels.borrow();
    let host = match create_tray(app, &engine, panel, &state_dir) {
        Ok(tray) => {
            async_runtime::spawn(tray.follow(app.clone(), engine.snapshot(), panels));
            host
        }
        Err(cause) => {
            tracing::warn!("going on without a tray icon: {cause:#}");
            TrayHost::none()
        }
    };
    app.manage(host.clone());
    if cli.minimized {
        async_runtime::spawn(open_unless_tray(app.clone(), host));
    } else {
        window::show(app);
    }

    async_runtime::spawn(bridge::follow(app.clone(), engine.snapshot()));
    async_runtime::spawn(notify::deliver(engine, notifier));
    async_runtime::spawn(lifecycle::quit_on_signal(app.clone()));
}

/// The library behind the tray icon is loaded only now, and its absence is a panic there.
fn create_tray(app: &AppHandle, engine: &Engine, panel: Panel, state_dir: &Path) -> anyhow::Result<Tray> {
    let words = Words::from(&**engine.snapshot().borrow());
    let bitmaps = state_dir.join("tray");
    panic::catch_unwind(AssertUnwindSafe(|| Tray::create(app, words, panel, &bitmaps))).unwrap_or_else(|_| {
        anyhow::bail!("the library for tray icons is missing; install libayatana-appindicator3")
    })
}

/// A program that is neither in a tray nor in a window could not be found.
async fn open_unless_tray(app: AppHandle, host: TrayHost) {
    if timeout(TRAY_HOST_APPEARS, host.appears()).await.is_err() {
        tracing::warn!("nothing on this desktop shows tray icons, so the window opens instead");
        window::show(&app);
    }
}
