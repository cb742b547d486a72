//! The real desktop program on a virtual screen.
//!
//! The failure of the tunnel and its recovery must show in the notification daemon, the tray and
//! the window.

#![cfg(target_os = "linux")]

mod webdriver;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::{
    path::Path,
    time::{Duration, Instant},
};
use tokio::time::sleep;
use vpnsentinel_tests::{App, Fault, Relay, Screen, Transport, World, WorldSpec, lab_test};
use webdriver::{Browser, screenshot_path};

/// The port of tauri-driver on the laptop.
const DRIVER_PORT: u16 = 4444;
/// The port of WebKit's own driver, which tauri-driver uses.
const NATIVE_PORT: u16 = 4445;
const PATIENCE: Duration = Duration::from_secs(30);

lab_test!(a_failed_tunnel_shows_in_notification_tray_and_window, fail_and_restore_the_tunnel());

async fn fail_and_restore_the_tunnel() -> Result<()> {
    let nodes = ["vps", "home-server"].map(str::to_owned).to_vec();
    let mut world = World::start(WorldSpec { nodes, ..WorldSpec::default() }).await?;
    let screen = Screen::start(&Path::new(vpnsentinel_tests::DIRECTORY).join("screen")).await?;
    let app = App::prepare(&mut world).await?;

    let laptop = world.laptop()?.clone();
    let mut command = laptop.command("tauri-driver");
    command.arg(format!("--port={DRIVER_PORT}")).arg(format!("--native-port={NATIVE_PORT}"));
    app.set_environment(&mut command);
    screen.set_environment(&mut command);
    let mut driver = laptop.start_daemon("tauri-driver", command)?;
    for port in [DRIVER_PORT, NATIVE_PORT] {
        laptop.wait_for_server(&mut driver, Transport::Tcp, port, PATIENCE).await?;
    }
    let (_relay, address) = Relay::tcp(&laptop, DRIVER_PORT)?;
    let window = Browser::open(address, json!({ "tauri:options": { "application": app.program } })).await;
    let window = window.with_context(|| driver.log_tail(40))?;
    app.confirm(&world).await?;

    window.wait_for_text("h1", "Protected").await?;
    window.wait_for_text("body", "vps").await?;
    let protected_icon = read_icon(&screen).await?;
    window.wait_until_drawn().await?;
    screen.save_screenshot(&screenshot_path("desktop-protected.png")?).await?;

    world.inject(&Fault::TunnelRemoved {}).await?;
    window.wait_for_text("h1", "Exposed").await?;
    wait_for_notification(
        &screen,
        &["Your real address is visible", "over IPv4", "Reconnect the VPN or go offline"],
    )
    .await?;
    wait_for_icon_change(&screen, &protected_icon).await?;
    let exposed_icon = read_icon(&screen).await?;
    window.wait_until_drawn().await?;
    screen.save_screenshot(&screenshot_path("desktop-exposed.png")?).await?;

    world.inject(&Fault::TunnelRestored {}).await?;
    window.wait_for_text("h1", "Protected").await?;
    wait_for_notification(&screen, &["Protected again"]).await?;
    wait_for_icon_change(&screen, &exposed_icon).await?;
    ensure!(read_icon(&screen).await? == protected_icon, "the tray icon differs from the first one");
    window.wait_until_drawn().await?;
    screen.save_screenshot(&screenshot_path("desktop-recovered.png")?).await?;
    window.client.close().await?;
    driver.stop().await
}

/// Reads the bitmap of the tray icon. The tray item names a file, a new one after every change.
async fn read_icon(screen: &Screen) -> Result<Vec<u8>> {
    let quoted = |text: String| text.split('\'').nth(1).map(str::to_owned);
    let name = quoted(screen.tray_item("IconName").await?).context("the tray item has no icon")?;
    let folder = quoted(screen.tray_item("IconThemePath").await?).unwrap_or_default();
    let path = Path::new(&folder).join(format!("{name}.png"));
    let path = if path.is_file() { path } else { name.into() };
    std::fs::read(&path).with_context(|| format!("the tray icon {} cannot be read", path.display()))
}

async fn wait_for_icon_change(screen: &Screen, from: &[u8]) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while read_icon(screen).await? == from {
        ensure!(Instant::now() < deadline, "the tray icon did not change within {PATIENCE:?}");
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn wait_for_notification(screen: &Screen, wanted: &[&str]) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let received = screen.notifications();
        if wanted.iter().all(|text| received.contains(text)) {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "no notification with {wanted:?} after {PATIENCE:?}; received:\n{received}"
        );
        sleep(Duration::from_millis(50)).await;
    }
}
