//! `history`: past events, from the running node.

use crate::{cli::HistoryAction, client::Client, render, terminal};
use anyhow::Result;
use sentinel_model::Timestamp;

const DAY_MS: i64 = 86_400_000;

/// Queries the history of the running node and prints the result.
pub(super) async fn query_history(client: &Client, action: HistoryAction) -> Result<()> {
    let HistoryAction::Incidents { days, limit, output } = action;
    let snapshot = client.snapshot().await?;
    let since = Timestamp(snapshot.at.0 - i64::from(days) * DAY_MS);
    let incidents = client.incidents(since, limit).await?;
    if output.json {
        terminal::print_json(&serde_json::json!({ "incidents": incidents }))
    } else {
        terminal::print(&render::incidents(&incidents, days, snapshot.at, snapshot.offset))
    }
}
