//! `ledger.db`: incidents, the outbox of notices, the swarm's membership log, and settings.

use crate::{error::StoreError, upgrade::upgrade_incident};
use sentinel_model::{Incident, IncidentId, Notice, NoticeKind, Severity, Timestamp, UtcOffset};
use serde::Deserialize;
use serde_json::Value;
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
    let rows = sqlx::query_as::<_, (i64, String, String, i64, String)>(
        "SELECT id, incident, kind, at, body FROM outbox \
         WHERE NOT EXISTS (SELECT 1 FROM delivery WHERE channel = ?1 AND notice = outbox.id) ORDER BY id LIMIT ?2",
    )
    .bind(channel)
    .bind(OUTBOX_PAGE)
    .fetch_all(readers)
    .await
    .map_err(StoreError::query("read the undelivered notices"))?;
    Ok(rows
        .into_iter()
        .map(|(id, incident, kind, at, body)| {
            let notice = serde_json::from_str(&body)
                .unwrap_or_else(|error| partial_notice(&incident, &kind, Timestamp(at), &body, &error));
            (id, notice)
        })
        .collect())
}

/// Returns the open incidents, newest first.
pub(crate) async fn read_open_incidents(readers: &SqlitePool) -> Result<Vec<Incident>, StoreError> {
    let bodies =
        sqlx::query_scalar::<_, String>("SELECT body FROM incident WHERE open = 1 ORDER BY opened DESC")
            .fetch_all(readers)
            .await
            .map_err(StoreError::query("read the open incidents"))?;
    Ok(bodies.iter().filter_map(|body| parse_readable_incident(body)).collect())
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
    Ok(bodies.iter().filter_map(|body| parse_readable_incident(body)).collect())
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
fn parse_incident(body: &str) -> Result<Incident, serde_json::Error> {
    serde_json::from_str(body).or_else(|error| upgrade_incident(body).map_err(|_| error))
}

/// Parses a stored incident. An unreadable one is left out, so that it does not hide the others.
///
/// [`read_unreadable_incidents`] has reported it when the store was opened.
fn parse_readable_incident(body: &str) -> Option<Incident> {
    parse_incident(body)
        .inspect_err(|error| tracing::debug!(%error, "an unreadable incident is left out"))
        .ok()
}

/// Returns the connection, and sentences about the open incidents that this version cannot read.
///
/// They stay in the ledger as they are, so that the version that wrote them can still end them.
pub(crate) async fn read_unreadable_incidents(
    mut connection: SqliteConnection,
) -> Result<(SqliteConnection, Vec<String>), StoreError> {
    let rows = sqlx::query_as::<_, (String, i64, String)>(
        "SELECT id, opened, body FROM incident WHERE open = 1 ORDER BY opened DESC",
    )
    .fetch_all(&mut connection)
    .await
    .map_err(StoreError::query("read the open incidents"))?;
    let mut notes = Vec::new();
    for (id, opened, body) in rows {
        if let Err(error) = parse_incident(&body) {
            let opened = Timestamp(opened).format_local(Timestamp(i64::MIN), UtcOffset(0));
            let said =
                text_field(&body, "sentence").map(|text| format!(" It says: {text}")).unwrap_or_default();
            let note = format!(
                "The incident {id}, open since {opened} UTC, cannot be read by this version ({error}). It is kept as it \
                 is; install the version that wrote it to see it whole.{said}"
            );
            tracing::warn!("{note}");
            notes.push(note);
        }
    }
    Ok((connection, notes))
}

/// Returns a notice whose body is unreadable, made of its columns and the fields that can be read.
///
/// A notice that is never offered would be an alarm that is lost, so its severity is the highest
/// unless it can be read.
fn partial_notice(
    incident: &str,
    kind: &str,
    at: Timestamp,
    body: &str,
    error: &serde_json::Error,
) -> Notice {
    tracing::debug!(incident, %error, "a notice is unreadable and is offered as far as it can be read");
    let severity = serde_json::from_str::<Value>(body)
        .and_then(|fields| Severity::deserialize(&fields["severity"]))
        .unwrap_or(Severity::Critical);
    Notice {
        incident: IncidentId(incident.to_owned()),
        kind: if kind == notice_kind_name(NoticeKind::Resolve) {
            NoticeKind::Resolve
        } else {
            NoticeKind::Alarm
        },
        severity,
        title: text_field(body, "title").unwrap_or_else(|| format!("Incident {incident}")),
        body: text_field(body, "body").unwrap_or_else(|| {
            format!(
                "The text of this notice cannot be read by this version ({error}). It is kept in the ledger."
            )
        }),
        at,
    }
}

/// Returns a text field of a JSON object that is otherwise unreadable.
fn text_field(body: &str, name: &str) -> Option<String> {
    let fields: Value = serde_json::from_str(body).ok()?;
    fields.get(name)?.as_str().map(ToOwned::to_owned)
}
