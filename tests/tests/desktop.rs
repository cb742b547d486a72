//! The real desktop program on a real (virtual) screen: the tunnel dies, and the notification
//! daemon, the tray and the window all say so, and say when it is over.

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
use webdriver::{Browser, artifact};

/// Where tauri-driver listens on the laptop, and where WebKit's own driver behind it does.
const DRIVER_PORT: u16 = 4444;
const NATIVE_PORT: u16 = 4445;
const PATIENCE: Duration = Duration::from_secs(30);

lab_test!(a_dead_tunnel_reaches_notification_tray_and_window, the_story());

async fn the_story() -> Result<()> {
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

    window.until_text("h1", "Protected").await?;
    window.until_text("body", "vps").await?;
    let protected_icon = icon(&screen).await?;
    window.until_drawn().await?;
    screen.save_screenshot(&artifact("desktop-protected.png")?).await?;

    world.inject(&Fault::TunnelRemoved {}).await?;
    window.until_text("h1", "Exposed").await?;
    notified(&screen, &["Your real address is visible", "over IPv4", "Reconnect the VPN or go offline"])
        .await?;
    changed(&screen, &protected_icon).await?;
    let exposed_icon = icon(&screen).await?;
    window.until_drawn().await?;
    screen.save_screenshot(&artifact("desktop-exposed.png")?).await?;

    world.inject(&Fault::TunnelRestored {}).await?;
    window.until_text("h1", "Protected").await?;
    notified(&screen, &["Protected again"]).await?;
    changed(&screen, &exposed_icon).await?;
    ensure!(icon(&screen).await? == protected_icon, "the tray icon is not the one from before");
    window.until_drawn().await?;
    screen.save_screenshot(&artifact("desktop-recovered.png")?).await?;
    window.client.close().await?;
    driver.stop().await
}

/// The bitmap the tray shows now. The item names a file, a new one for every change.
async fn icon(screen: &Screen) -> Result<Vec<u8>> {
    let quoted = |text: String| text.split('\'').nth(1).map(str::to_owned);
    let name = quoted(screen.tray_item("IconName").await?).context("the tray item has no icon")?;
    let folder = quoted(screen.tray_item("IconThemePath").await?).unwrap_or_default();
    let path = Path::new(&folder).join(format!("{name}.png"));
    let path = if path.is_file() { path } else { name.into() };
    std::fs::read(&path).with_context(|| format!("the tray icon {} cannot be read", path.display()))
}

async fn changed(screen: &Screen, from: &[u8]) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while icon(screen).await? == from {
        ensure!(Instant::now() < deadline, "the tray icon did not change within {PATIENCE:?}");
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn notified(screen: &Screen, wanted: &[&str]) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let received = screen.notifications();
        if wanted.iter().all(|text| received.contains(text)) {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "not within {PATIENCE:?}: a notification with {wanted:?}; received:\n{received}"
        );
        sleep(Duration::from_millis(50)).await;
    }
}
