//! `history`: what happened.

use crate::{cli::History, client::Client, print};
use anyhow::Result;
use sentinel_model::Timestamp;

const DAY_MS: i64 = 86_400_000;

/// Asks the running node and prints the answer.
pub(crate) async fn history(client: &Client, question: History) -> Result<()> {
    let History::Incidents { days, limit, output } = question;
    let snapshot = client.snapshot().await?;
    let since = Timestamp(snapshot.at.0 - i64::from(days) * DAY_MS);
    let incidents = client.incidents(since, limit).await?;
    if output.json {
        print::json(&serde_json::json!({ "incidents": incidents }))
    } else {
        print::text(&print::incidents(&incidents, days, snapshot.at, snapshot.offset))
    }
}
