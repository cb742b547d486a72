//! Keeps the files small: hourly rollups, pruning of old records, release of free space.

use crate::history::HOUR_MS;
use sentinel_model::Timestamp;
use sqlx::{Connection, SqliteConnection};

/// One day, in milliseconds.
const DAY_MS: i64 = 24 * HOUR_MS;

/// How long raw samples are kept.
const RAW_RETENTION_MS: i64 = 30 * DAY_MS;

/// How long rollups, intervals and closed incidents are kept.
const LONG_RETENTION_MS: i64 = 2 * 365 * DAY_MS;

/// How long a notice is kept for channels that have not delivered it. Later it would only confuse.
const OUTBOX_RETENTION_MS: i64 = 30 * DAY_MS;

/// Number of rows one step deletes at most, so that alarms do not wait for a long deletion.
const MAX_ROWS_PER_STEP: i64 = 20_000;

/// Runs one step of the history's maintenance and returns true if there is more to do.
pub(crate) async fn maintain_history(
    connection: &mut SqliteConnection,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    roll_up(connection, now).await?;
    let pruned = sqlx::query(
        "DELETE FROM sample WHERE (series, at) IN ( \
             SELECT sample.series, sample.at FROM series CROSS JOIN sample ON sample.series = series.id \
             WHERE sample.at < min(?1, (SELECT rolled FROM progress WHERE id = 1)) LIMIT ?2)",
    )
    .bind(now.0 - RAW_RETENTION_MS)
    .bind(MAX_ROWS_PER_STEP)
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if pruned > 0 {
        return Ok(true);
    }
    sqlx::query("DELETE FROM hourly WHERE hour < ?1")
        .bind(now.0 - LONG_RETENTION_MS)
        .execute(&mut *connection)
        .await?;
    sqlx::query("DELETE FROM interval WHERE \"until\" < ?1")
        .bind(now.0 - LONG_RETENTION_MS)
        .execute(&mut *connection)
        .await?;
    release_free_pages(connection).await?;
    Ok(false)
}

/// Prunes the ledger. Open incidents are never pruned.
pub(crate) async fn maintain_ledger(
    connection: &mut SqliteConnection,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM outbox WHERE at < ?1")
        .bind(now.0 - OUTBOX_RETENTION_MS)
        .execute(&mut *connection)
        .await?;
    sqlx::query("DELETE FROM incident WHERE open = 0 AND changed < ?1")
        .bind(now.0 - LONG_RETENTION_MS)
        .execute(&mut *connection)
        .await?;
    release_free_pages(connection).await
}

/// Rolls up every complete hour that is not rolled up yet.
async fn roll_up(connection: &mut SqliteConnection, now: Timestamp) -> Result<(), sqlx::Error> {
    let hour = now.0.div_euclid(HOUR_MS) * HOUR_MS;
    let mut transaction = connection.begin().await?;
    sqlx::query(
        "INSERT OR REPLACE INTO hourly (series, hour, mean, low, high, count) \
         SELECT series.id, sample.at / 3600000 * 3600000, avg(sample.value), min(sample.value), max(sample.value), count(*) \
         FROM series CROSS JOIN sample ON sample.series = series.id \
         WHERE sample.at >= (SELECT rolled FROM progress WHERE id = 1) AND sample.at < ?1 GROUP BY 1, 2",
    )
    .bind(hour)
    .execute(&mut *transaction)
    .await?;
    sqlx::query("UPDATE progress SET rolled = max(rolled, ?1) WHERE id = 1")
        .bind(hour)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

/// Returns up to 4 MiB of free pages to the file system.
async fn release_free_pages(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::query("PRAGMA incremental_vacuum(1024)").execute(&mut *connection).await?;
    sqlx::query("PRAGMA optimize").execute(&mut *connection).await?;
    Ok(())
}
