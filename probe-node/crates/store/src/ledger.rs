//! `ledger.db`: incidents, the outbox of notices, the swarm's membership log, and settings.

use crate::{error::StoreError, upgrade::upgrade_incident};
use sentinel_model::{Incident, Notice, NoticeKind, Timestamp};
use sqlx::{Connection, SqliteConnection, SqlitePool};

/// Number of notices handed to a channel at a time.
const OUTBOX_PAGE: i64 = 100;

/// Setting: the learned home line.
pub(crate) const HOME_KEY: &str = "home";

/// Setting: the home line's addresses as announced by the nodes on it.
pub(crate) const HOME_ANNOUNCED_KEY: &str = "home-announced";

/// Setting: whether a tunnel has been in use.
pub(crate) const TUNNEL_KEY: &str = "tunnel-known";

/// A change of the ledger. Each is one transaction.
pub(crate) enum LedgerChange {
    /// New versions of incidents, and the notices about them.
    Incidents(Vec<Incident>, Vec<Notice>),
    /// A channel has delivered the notice with this id.
    Delivery { channel: String, notice: i64 },
    /// A new entry of the membership log.
    MembershipEntry(Vec<u8>),
    /// A new value of a setting, as JSON.
    Setting { key: &'static str, value: String },
}

/// Writes one change. It is on disk when this returns.
pub(crate) async fn write_change(
    connection: &mut SqliteConnection,
    change: LedgerChange,
) -> Result<(), StoreError> {
    match change {
        LedgerChange::Incidents(incidents, notices) => {
            write_incidents(connection, &incidents, &notices).await
        }
        LedgerChange::Delivery { channel, notice } => {
            // Nothing is inserted if the notice has been pruned in the meantime.
            sqlx::query(
                "INSERT OR IGNORE INTO delivery (channel, notice) SELECT ?1, id FROM outbox WHERE id = ?2",
            )
            .bind(channel)
            .bind(notice)
            .execute(connection)
            .await
            .map_err(StoreError::query("record a delivery"))?;
            Ok(())
        }
        LedgerChange::MembershipEntry(entry) => {
            sqlx::query("INSERT OR IGNORE INTO membership (entry) VALUES (?1)")
                .bind(entry)
                .execute(connection)
                .await
                .map_err(StoreError::query("record a change of membership"))?;
            Ok(())
        }
        LedgerChange::Setting { key, value } => {
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

async fn write_incidents(
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
            .bind(notice_kind_name(notice.kind))
            .bind(notice.at.0)
            .bind(body)
            .execute(&mut *transaction)
            .await
            .map_err(StoreError::query(doing))?;
    }
    transaction.commit().await.map_err(StoreError::query(doing))
}

/// Returns the name of a kind of notice in the database.
fn notice_kind_name(kind: NoticeKind) -> &'static str {
    match kind {
        NoticeKind::Alarm => "alarm",
        NoticeKind::Resolve => "resolve",
    }
}

/// Returns the notices a channel has not delivered yet, oldest first, one page at a time.
pub(crate) async fn read_undelivered(
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
    .map_err(StoreError::query("read the undelivered notices"))?;
    Ok(rows.into_iter().filter_map(|(id, body)| Some((id, parse_notice(&body)?))).collect())
}

/// Returns the open incidents, newest first.
pub(crate) async fn read_open_incidents(readers: &SqlitePool) -> Result<Vec<Incident>, StoreError> {
    let bodies =
        sqlx::query_scalar::<_, String>("SELECT body FROM incident WHERE open = 1 ORDER BY opened DESC")
            .fetch_all(readers)
            .await
            .map_err(StoreError::query("read the open incidents"))?;
    Ok(bodies.iter().filter_map(|body| parse_incident(body)).collect())
}

/// Returns incidents that are open or have changed since then, newest first.
pub(crate) async fn read_incidents(
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

/// Returns the entries of the membership log, in the order they were written.
pub(crate) async fn read_membership(readers: &SqlitePool) -> Result<Vec<Vec<u8>>, StoreError> {
    sqlx::query_scalar("SELECT entry FROM membership ORDER BY position")
        .fetch_all(readers)
        .await
        .map_err(StoreError::query("read the membership of the swarm"))
}

/// Returns the value of a setting, as JSON.
pub(crate) async fn read_setting(readers: &SqlitePool, key: &str) -> Result<Option<String>, StoreError> {
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

/// Parses a stored notice. An unreadable one is logged and left out.
fn parse_notice(body: &str) -> Option<Notice> {
    serde_json::from_str(body)
        .inspect_err(|error| tracing::warn!(%error, "a stored notice is unreadable and is left out"))
        .ok()
}
