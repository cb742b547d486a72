//! A client of a node's HTTP API, which runs inside the node's host.

use crate::{host::Host, plan};
use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use reqwest::{Client, Response};
use sentinel_model::{Command, Reply, Snapshot};
use serde::Deserialize;
use std::time::{Duration, Instant};
use tokio::{sync::mpsc, time::timeout};

/// Number of snapshots that can wait for the reader. A node publishes a few per second.
const BACKLOG: usize = 1024;
/// Longest time a request may take. Only a full round takes more than a moment.
const PATIENCE: Duration = Duration::from_secs(30);

/// The HTTP API of one node.
#[derive(Clone, Debug)]
pub struct NodeApi {
    host: Host,
}

/// A snapshot and the time of its arrival.
#[derive(Clone, Debug)]
pub struct ReceivedSnapshot {
    /// Time of arrival.
    pub at: Instant,
    /// The snapshot.
    pub snapshot: Snapshot,
}

/// The node's response to a command.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum CommandOutcome {
    Ok(Reply),
    Error(String),
}

impl NodeApi {
    pub(crate) fn new(host: Host) -> Self {
        Self { host }
    }

    /// Returns the base URL of the API, as seen from the node's host.
    pub fn base_url() -> String {
        format!("http://127.0.0.1:{}", plan::API_PORT)
    }

    /// Fetches the current snapshot.
    pub async fn fetch_snapshot(&self) -> Result<Snapshot> {
        self.host
            .run(|| async {
                let text = get("/api/v1/snapshot").await?.text().await?;
                serde_json::from_str(&text).with_context(|| format!("not a snapshot: {text}"))
            })
            .await
    }

    /// Sends a command to the node.
    ///
    /// # Errors
    /// Fails with the node's own message if it refuses.
    pub async fn send_command(&self, command: Command) -> Result<Reply> {
        self.host
            .run(|| async move {
                let request = client()?.post(format!("{}/api/v1/command", Self::base_url())).json(&command);
                let text = timeout(PATIENCE, request.send()).await??.text().await?;
                match serde_json::from_str(&text).with_context(|| format!("not a reply: {text}"))? {
                    CommandOutcome::Ok(reply) => Ok(reply),
                    CommandOutcome::Error(sentence) => Err(anyhow::Error::msg(sentence)),
                }
            })
            .await
    }

    /// Returns every snapshot from now on, starting with the current one. Ends with the node.
    pub fn subscribe(&self) -> mpsc::Receiver<Result<ReceivedSnapshot>> {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        let host = self.host.clone();
        tokio::spawn(async move {
            let to = sender.clone();
            if let Err(error) = host.run(move || follow_events(to)).await {
                // The receiver is usually gone by now.
                let _ = sender.send(Err(error)).await;
            }
        });
        receiver
    }

    /// Waits for a snapshot that satisfies a condition, which `what` describes.
    ///
    /// # Errors
    /// Fails if there is none in time; the error contains the last verdict.
    pub async fn wait_for(
        &self,
        what: &str,
        within: Duration,
        condition: impl Fn(&Snapshot) -> bool,
    ) -> Result<ReceivedSnapshot> {
        let mut events = self.subscribe();
        let mut last = None;
        let met = timeout(within, async {
            while let Some(event) = events.recv().await {
                let event = event?;
                if condition(&event.snapshot) {
                    return Ok(event);
                }
                last = Some(event.snapshot.shown.verdict.clone());
            }
            anyhow::bail!("the node on {} has ended", self.host.name())
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
    let response = client()?.get(format!("{}{path}", NodeApi::base_url())).send();
    let response = timeout(PATIENCE, response).await.with_context(|| format!("no answer to {path}"))??;
    ensure!(response.status().is_success(), "{path} answered {}", response.status());
    Ok(response)
}

/// Reads the snapshots from the stream of server-sent events, until the receiver is dropped.
///
/// An event is a block of lines that ends with an empty line; its content is in the `data:` lines
/// (WHATWG HTML, 9.2).
async fn follow_events(to: mpsc::Sender<Result<ReceivedSnapshot>>) -> Result<()> {
    let mut stream = get("/api/v1/events").await?.bytes_stream();
    let mut lines = LineSplitter::default();
    let mut data = String::new();
    while let Some(chunk) = stream.next().await {
        lines.push(&chunk.context("the event stream was interrupted")?);
        while let Some(line) = lines.next_line() {
            if let Some(text) = line.strip_prefix("data:") {
                data += text;
            } else if line.is_empty() && !data.is_empty() {
                let snapshot =
                    serde_json::from_str(&data).with_context(|| format!("not a snapshot: {data}"))?;
                data.clear();
                if to.send(Ok(ReceivedSnapshot { at: Instant::now(), snapshot })).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// Splits a stream of bytes into lines.
#[derive(Default)]
struct LineSplitter {
    /// Bytes after the last complete line.
    rest: Vec<u8>,
}

impl LineSplitter {
    fn push(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
    }

    /// Returns the next complete line, without its end.
    fn next_line(&mut self) -> Option<String> {
        let end = self.rest.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.rest.drain(..=end).collect();
        Some(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
    }
}
