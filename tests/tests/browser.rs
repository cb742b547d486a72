//! The dashboard of a headless node in a real browser.

#![cfg(target_os = "linux")]

mod webdriver;

use anyhow::Result;
use sentinel_model::Verdict;
use serde_json::json;
use std::time::Duration;
use vpnsentinel_tests::{Fault, Relay, Transport, World, WorldSpec, lab_test, plan};
use webdriver::{Browser, screenshot_path};

/// The port of chromedriver on the laptop.
const DRIVER_PORT: u16 = 9515;
const PATIENCE: Duration = Duration::from_secs(30);

lab_test!(the_dashboard_follows_the_verdict_without_a_reload, follow_the_verdict());

async fn follow_the_verdict() -> Result<()> {
    let nodes = ["vps", "home-server", "laptop"].map(str::to_owned).to_vec();
    let mut world = World::start(WorldSpec { nodes, ..WorldSpec::default() }).await?;
    let api = world.node_api("laptop")?;
    api.wait_for("Protected", PATIENCE, |snapshot| snapshot.shown.verdict.verdict == Verdict::Protected)
        .await?;

    let laptop = world.laptop()?.clone();
    let mut command = laptop.command("chromedriver");
    command.arg(format!("--port={DRIVER_PORT}"));
    let mut driver = laptop.start_daemon("chromedriver", command)?;
    laptop.wait_for_server(&mut driver, Transport::Tcp, DRIVER_PORT, PATIENCE).await?;
    let (_relay, address) = Relay::tcp(&laptop, DRIVER_PORT)?;
    let profile = laptop.directory().join("profile");
    let browser = Browser::open(address, json!({ "goog:chromeOptions": { "args": [
        "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--window-size=1000,680",
        format!("--user-data-dir={}", profile.display()),
    ]}})).await?;
    let url = format!("http://127.0.0.1:{}/", plan::API_PORT);
    browser.client.goto(&url).await?;
    browser.wait_for_text("h1", "Protected").await?;
    browser.wait_for_text("body", &plan::VPN_EXIT.to_string()).await?;
    browser.client.execute("window.kept = true", Vec::new()).await?;
    save_screenshot(&browser, "browser-protected.png").await?;

    world.inject(&Fault::TunnelRemoved {}).await?;
    browser.wait_for_text("h1", "Exposed").await?;
    browser.wait_for_text("body", "Your real address is visible").await?;
    save_screenshot(&browser, "browser-exposed.png").await?;

    world.inject(&Fault::TunnelRestored {}).await?;
    browser.wait_for_text("h1", "Protected").await?;
    assert_eq!(
        browser.client.execute("return window.kept === true", Vec::new()).await?,
        json!(true),
        "the page was reloaded"
    );
    browser.client.close().await?;
    driver.stop().await
}

async fn save_screenshot(browser: &Browser, name: &str) -> Result<()> {
    browser.wait_until_drawn().await?;
    std::fs::write(screenshot_path(name)?, browser.client.screenshot().await?)?;
    Ok(())
}
