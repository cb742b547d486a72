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

/// The notices that channel `?1` has not delivered, oldest first.
const UNDELIVERED: &str = "SELECT id, incident, kind, at, body FROM outbox \
    WHERE id > coalesce((SELECT delivered_up_to FROM channel WHERE name = ?1), 0) \
    AND NOT EXISTS (SELECT 1 FROM delivery WHERE channel = ?1 AND notice = outbox.id) ORDER BY id LIMIT ?2";

/// The bodies of the open incidents, newest first.
const OPEN_INCIDENTS: &str = "SELECT body FROM incident WHERE open = 1 ORDER BY opened DESC";

/// The bodies of incidents that are open or have changed since `?1`, newest first.
///
/// The ids are found in the index alone, which ends at the limit, and only their bodies are read.
const RECENT_INCIDENTS: &str = "SELECT incident.body FROM ( \
        SELECT id, opened FROM incident INDEXED BY incident_opened \
        WHERE changed >= ?1 OR open = 1 ORDER BY opened DESC LIMIT ?2 \
    ) AS newest CROSS JOIN incident ON incident.id = newest.id ORDER BY newest.opened DESC";

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
            write_delivery(connection, &channel, notice).await.map_err(StoreError::query("record a delivery"))
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

/// Records a delivery, and up to which notice the channel has now delivered all.
async fn write_delivery(
    connection: &mut SqliteConnection,
    channel: &str,
    notice: i64,
) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    // Nothing is inserted if the notice has been pruned in the meantime.
    sqlx::query("INSERT OR IGNORE INTO delivery (channel, notice) SELECT ?1, id FROM outbox WHERE id = ?2")
        .bind(channel)
        .bind(notice)
        .execute(&mut *transaction)
        .await?;
    let oldest = sqlx::query_as::<_, (i64, String, String, i64, String)>(UNDELIVERED)
        .bind(channel)
        .bind(1)
        .fetch_optional(&mut *transaction)
        .await?;
    sqlx::query(
        "INSERT INTO channel (name, delivered_up_to) VALUES (?1, coalesce(?2, (SELECT max(id) FROM outbox), 0)) \
         ON CONFLICT (name) DO UPDATE SET delivered_up_to = max(delivered_up_to, excluded.delivered_up_to)",
    )
    .bind(channel)
    .bind(oldest.map(|(id, ..)| id - 1))
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
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
    let rows = sqlx::query_as::<_, (i64, String, String, i64, String)>(UNDELIVERED)
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
    let bodies = sqlx::query_scalar::<_, String>(OPEN_INCIDENTS)
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
    let bodies = sqlx::query_scalar::<_, String>(RECENT_INCIDENTS)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail where it likes")]

    use super::*;

    #[tokio::test]
    async fn reading_needs_no_scan_of_a_table() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        sqlx::migrate!("./migrations/ledger").run(&mut connection).await.unwrap();
        for (sql, index) in [
            (UNDELIVERED, "SEARCH outbox USING INTEGER PRIMARY KEY (rowid>?)"),
            // The index holds open incidents only.
            (OPEN_INCIDENTS, "SCAN incident USING INDEX incident_open"),
            (RECENT_INCIDENTS, "SCAN incident USING COVERING INDEX incident_opened"),
            (RECENT_INCIDENTS, "SEARCH incident USING PRIMARY KEY (id=?)"),
        ] {
            let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
            let plan = sqlx::query_as::<_, (i64, i64, i64, String)>(explain)
                .fetch_all(&mut connection)
                .await
                .unwrap();
            let plan: Vec<_> = plan.into_iter().map(|(.., step)| step).collect();
            assert!(plan.iter().any(|step| step.starts_with(index)), "{sql}: {plan:#?}");
            let scans = plan.iter().filter(|step| step.starts_with("SCAN") && !step.contains("INDEX"));
            assert_eq!(scans.filter(|step| *step != "SCAN newest").count(), 0, "{sql}: {plan:#?}");
        }
    }
}
