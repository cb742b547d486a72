//! A driven browser or window, and where pictures of it are kept.

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

/// What a person would wait for a page to change, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A session of a WebDriver (W3C WebDriver).
pub struct Browser {
    /// For everything not named here.
    pub client: Client,
}

impl Browser {
    /// Opens a session with these capabilities.
    pub async fn open(driver: SocketAddr, capabilities: Value) -> Result<Self> {
        let capabilities: Map<String, Value> = serde_json::from_value(capabilities)?;
        let client = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://{driver}"))
            .await
            .context("the WebDriver opens no session")?;
        Ok(Self { client })
    }

    /// Waits until an element contains a text.
    pub async fn until_text(&self, selector: &str, wanted: &str) -> Result<()> {
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
                "not within {PATIENCE:?}: {selector} says {wanted}; it says {found}"
            );
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until what the page says has also been drawn.
    pub async fn until_drawn(&self) -> Result<()> {
        const TWO_FRAMES: &str =
            "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done()))";
        self.client.execute_async(TWO_FRAMES, Vec::new()).await.context("the page draws nothing")?;
        Ok(())
    }
}

/// Where a picture goes: a folder that git ignores and a workflow keeps.
pub fn artifact(name: &str) -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("artifacts");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder.join(name))
}
