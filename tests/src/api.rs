//! A node's HTTP API, asked from inside its host.

use crate::{host::Host, plan};
use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use reqwest::{Client, Response};
use sentinel_model::{Command, Reply, Snapshot};
use serde::Deserialize;
use std::time::{Duration, Instant};
use tokio::{sync::mpsc, time::timeout};

/// Snapshots that may pile up while nobody reads; a node publishes a few a second.
const BACKLOG: usize = 1024;
/// A check of everything may take a while; nothing else does.
const PATIENCE: Duration = Duration::from_secs(30);

/// A node's HTTP API.
#[derive(Clone, Debug)]
pub struct NodeApi {
    host: Host,
}

/// A snapshot and when it arrived.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// When.
    pub at: Instant,
    /// What.
    pub snapshot: Snapshot,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Ok(Reply),
    Error(String),
}

impl NodeApi {
    pub(crate) fn new(host: Host) -> Self {
        Self { host }
    }

    /// Its base address, as seen on its own host.
    pub fn url() -> String {
        format!("http://127.0.0.1:{}", plan::API_PORT)
    }

    /// The present snapshot.
    pub async fn snapshot(&self) -> Result<Snapshot> {
        self.host
            .run(|| async {
                let text = get("/api/v1/snapshot").await?.text().await?;
                serde_json::from_str(&text).with_context(|| format!("no snapshot: {text}"))
            })
            .await
    }

    /// Asks the node to do something.
    ///
    /// # Errors
    /// The node's own sentence, if it refuses.
    pub async fn command(&self, command: Command) -> Result<Reply> {
        self.host
            .run(|| async move {
                let request = client()?.post(format!("{}/api/v1/command", Self::url())).json(&command);
                let text = timeout(PATIENCE, request.send()).await??.text().await?;
                match serde_json::from_str(&text).with_context(|| format!("no answer: {text}"))? {
                    Answer::Ok(reply) => Ok(reply),
                    Answer::Error(sentence) => Err(anyhow::Error::msg(sentence)),
                }
            })
            .await
    }

    /// Every snapshot from now on, the present one first. The stream ends with the node.
    pub fn events(&self) -> mpsc::Receiver<Result<Arrived>> {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        let host = self.host.clone();
        tokio::spawn(async move {
            let to = sender.clone();
            if let Err(error) = host.run(move || follow(to)).await {
                // Nobody listening any more is the usual end.
                let _ = sender.send(Err(error)).await;
            }
        });
        receiver
    }

    /// Waits for a snapshot that satisfies a condition.
    ///
    /// # Errors
    /// None did in time; the error carries the last one's verdict.
    pub async fn wait_for(
        &self,
        what: &str,
        within: Duration,
        condition: impl Fn(&Snapshot) -> bool,
    ) -> Result<Arrived> {
        let mut events = self.events();
        let mut last = None;
        let met = timeout(within, async {
            while let Some(event) = events.recv().await {
                let event = event?;
                if condition(&event.snapshot) {
                    return Ok(event);
                }
                last = Some(event.snapshot.shown.verdict.clone());
            }
            anyhow::bail!("the node on {} went away", self.host.name())
        });
        let outcome = met.await;
        outcome.unwrap_or_else(|_| {
            Err(anyhow::anyhow!("not within {within:?}: {what}; the verdict is {last:?}"))
        })
    }
}

fn client() -> Result<Client> {
    Ok(Client::builder().no_proxy().build()?)
}

async fn get(path: &str) -> Result<Response> {
    let response = client()?.get(format!("{}{path}", NodeApi::url())).send();
    let response = timeout(PATIENCE, response).await.with_context(|| format!("no answer to {path}"))??;
    ensure!(response.status().is_success(), "{path} answered {}", response.status());
    Ok(response)
}

/// Reads server-sent events (WHATWG HTML, 9.2): blocks ended by an empty line, of which `data:` lines count.
async fn follow(to: mpsc::Sender<Result<Arrived>>) -> Result<()> {
    let mut stream = get("/api/v1/events").await?.bytes_stream();
    let mut lines = Lines::default();
    let mut data = String::new();
    while let Some(chunk) = stream.next().await {
        lines.push(&chunk.context("the event stream broke")?);
        while let Some(line) = lines.next() {
            if let Some(text) = line.strip_prefix("data:") {
                data += text;
            } else if line.is_empty() && !data.is_empty() {
                let snapshot = serde_json::from_str(&data).with_context(|| format!("no snapshot: {data}"))?;
                data.clear();
                if to.send(Ok(Arrived { at: Instant::now(), snapshot })).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// Bytes in, whole lines out.
#[derive(Default)]
struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    fn push(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
    }

    fn next(&mut self) -> Option<String> {
        let end = self.rest.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.rest.drain(..=end).collect();
        Some(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
    }
}
