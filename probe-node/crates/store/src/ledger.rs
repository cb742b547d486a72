//! `ledger.db`: incidents, what people are to be told of them, the swarm's membership, and settings.

use crate::{error::StoreError, upgrade::upgrade_incident};
use sentinel_model::{Incident, Notice, NoticeKind, Timestamp};
use serde::de::DeserializeOwned;
use sqlx::{Connection, SqliteConnection, SqlitePool};

/// How many notices are handed to a channel at a time.
const OUTBOX_PAGE: i64 = 100;

/// Where the learned home line is kept.
pub(crate) const HOME: &str = "home";

/// Where it is kept what nodes on the home line say of it.
pub(crate) const HOME_ANNOUNCED: &str = "home-announced";

/// Where it is kept that a tunnel has been in use.
pub(crate) const TUNNEL: &str = "tunnel-known";

/// Something to write. Each is one transaction.
pub(crate) enum Entry {
    Commit(Vec<Incident>, Vec<Notice>),
    Delivered(String, i64),
    Membership(Vec<u8>),
    Setting(&'static str, String),
}

/// Writes one entry; it is on the disk when this returns.
pub(crate) async fn write(connection: &mut SqliteConnection, entry: Entry) -> Result<(), StoreError> {
    match entry {
        Entry::Commit(incidents, notices) => commit(connection, &incidents, &notices).await,
        Entry::Delivered(channel, id) => {
            // A notice that was pruned meanwhile needs no mark.
            sqlx::query(
                "INSERT OR IGNORE INTO delivery (channel, notice) SELECT ?1, id FROM outbox WHERE id = ?2",
            )
            .bind(channel)
            .bind(id)
            .execute(connection)
            .await
            .map_err(StoreError::query("record a delivery"))?;
            Ok(())
        }
        Entry::Membership(entry) => {
            sqlx::query("INSERT OR IGNORE INTO membership (entry) VALUES (?1)")
                .bind(entry)
                .execute(connection)
                .await
                .map_err(StoreError::query("record a change of membership"))?;
            Ok(())
        }
        Entry::Setting(key, value) => {
            sqlx::query("INSERT OR REPLACE INTO setting (key, value) VALUES (?1, ?2)")
                .bind(key)
                .bind(value)
                .execute(connection)
                .await
                .map_err(StoreError::query("record a setting"))?;
            Ok(())
        }
    }
}

async fn commit(
    connection: &mut SqliteConnection,
    incidents: &[Incident],
    notices: &[Notice],
) -> Result<(), StoreError> {
    let doing = "record incidents";
    let mut transaction = connection.begin().await.map_err(StoreError::query(doing))?;
    for incident in incidents {
        let body = serde_json::to_string(incident).map_err(StoreError::form(doing))?;
        sqlx::query(
            "INSERT OR REPLACE INTO incident (id, open, opened, changed, body) VALUES (?1, ?2, ?3, ?4, ?5)",
        )
        .bind(&incident.id.0)
        .bind(incident.state.is_open())
        .bind(incident.opened.wall.0)
        .bind(incident.changed.wall.0)
        .bind(body)
        .execute(&mut *transaction)
        .await
        .map_err(StoreError::query(doing))?;
    }
    for notice in notices {
        let body = serde_json::to_string(notice).map_err(StoreError::form(doing))?;
        sqlx::query("INSERT OR IGNORE INTO outbox (incident, kind, at, body) VALUES (?1, ?2, ?3, ?4)")
            .bind(&notice.incident.0)
            .bind(kind_name(notice.kind))
            .bind(notice.at.0)
            .bind(body)
            .execute(&mut *transaction)
            .await
            .map_err(StoreError::query(doing))?;
    }
    transaction.commit().await.map_err(StoreError::query(doing))
}

fn kind_name(kind: NoticeKind) -> &'static str {
    match kind {
        NoticeKind::Alarm => "alarm",
        NoticeKind::Resolve => "resolve",
    }
}

/// What a channel has not delivered yet, oldest first, a page at a time.
pub(crate) async fn undelivered(
    readers: &SqlitePool,
    channel: &str,
) -> Result<Vec<(i64, Notice)>, StoreError> {
    let rows = sqlx::query_as::<_, (i64, String)>(
        "SELECT id, body FROM outbox \
         WHERE NOT EXISTS (SELECT 1 FROM delivery WHERE channel = ?1 AND notice = outbox.id) ORDER BY id LIMIT ?2",
    )
    .bind(channel)
    .bind(OUTBOX_PAGE)
    .fetch_all(readers)
    .await
    .map_err(StoreError::query("read what is still to be told"))?;
    Ok(rows.into_iter().filter_map(|(id, body)| Some((id, readable(&body, "notice")?))).collect())
}

/// Incidents that are open, newest first.
pub(crate) async fn open_incidents(readers: &SqlitePool) -> Result<Vec<Incident>, StoreError> {
    let bodies =
        sqlx::query_scalar::<_, String>("SELECT body FROM incident WHERE open = 1 ORDER BY opened DESC")
            .fetch_all(readers)
            .await
            .map_err(StoreError::query("read the open incidents"))?;
    Ok(bodies.iter().filter_map(|body| parse_incident(body)).collect())
}

/// Incidents that changed since then or are open, newest first.
pub(crate) async fn incidents(
    readers: &SqlitePool,
    since: Timestamp,
    limit: u32,
) -> Result<Vec<Incident>, StoreError> {
    let bodies = sqlx::query_scalar::<_, String>(
        "SELECT body FROM incident WHERE changed >= ?1 OR open = 1 ORDER BY opened DESC LIMIT ?2",
    )
    .bind(since.0)
    .bind(limit)
    .fetch_all(readers)
    .await
    .map_err(StoreError::query("read past incidents"))?;
    Ok(bodies.iter().filter_map(|body| parse_incident(body)).collect())
}

/// The membership log, in the order it was written.
pub(crate) async fn membership(readers: &SqlitePool) -> Result<Vec<Vec<u8>>, StoreError> {
    sqlx::query_scalar("SELECT entry FROM membership ORDER BY position")
        .fetch_all(readers)
        .await
        .map_err(StoreError::query("read the membership of the swarm"))
}

/// One setting, as JSON.
pub(crate) async fn setting(readers: &SqlitePool, key: &str) -> Result<Option<String>, StoreError> {
    sqlx::query_scalar("SELECT value FROM setting WHERE key = ?1")
        .bind(key)
        .fetch_optional(readers)
        .await
        .map_err(StoreError::query("read a setting"))
}

/// Parses a stored incident, of this version or an earlier one.
///
/// An unreadable one is logged and left out, so that it does not hide the others.
fn parse_incident(body: &str) -> Option<Incident> {
    serde_json::from_str(body)
        .or_else(|error| upgrade_incident(body).map_err(|_| error))
        .inspect_err(|error| tracing::warn!(%error, "a stored incident is unreadable and is left out"))
        .ok()
}

/// A record this version cannot read must not keep it from the others.
fn readable<T: DeserializeOwned>(body: &str, what: &str) -> Option<T> {
    serde_json::from_str(body)
        .inspect_err(|error| tracing::warn!(%error, "a stored {what} is not readable and is left out"))
        .ok()
}
