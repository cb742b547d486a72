//! A browser or window under the control of WebDriver, and its screenshots.

use anyhow::{Context, Result};
use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::{Map, Value};
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// Longest time until a page changes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A WebDriver session (W3C WebDriver).
pub struct Browser {
    /// The underlying client, for everything that has no method here.
    pub client: Client,
}

impl Browser {
    /// Opens a session with certain capabilities.
    pub async fn open(driver: SocketAddr, capabilities: Value) -> Result<Self> {
        let capabilities: Map<String, Value> = serde_json::from_value(capabilities)?;
        let client = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://{driver}"))
            .await
            .context("the WebDriver does not open a session")?;
        Ok(Self { client })
    }

    /// Waits until an element contains a text.
    pub async fn wait_for_text(&self, selector: &str, wanted: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = match self.client.find(Locator::Css(selector)).await {
                Ok(element) => element.text().await.unwrap_or_default(),
                Err(error) => error.to_string(),
            };
            if found.contains(wanted) {
                return Ok(());
            }
            anyhow::ensure!(
                Instant::now() < deadline,
                "{selector} does not contain {wanted:?} after {PATIENCE:?}; it contains {found:?}"
            );
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the page's present content has been drawn.
    pub async fn wait_until_drawn(&self) -> Result<()> {
        const TWO_FRAMES: &str =
            "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done()))";
        self.client.execute_async(TWO_FRAMES, Vec::new()).await.context("the page does not draw a frame")?;
        Ok(())
    }
}

/// Returns the path of a screenshot, in a folder that git ignores and the CI workflow uploads.
pub fn screenshot_path(name: &str) -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("artifacts");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder.join(name))
}
