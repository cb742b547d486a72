//! Keeping the files small: rolling samples up by the hour, pruning what is old, giving space back.

use crate::history::HOUR_MS;
use sentinel_model::Timestamp;
use sqlx::{Connection, SqliteConnection};

const DAY_MS: i64 = 24 * HOUR_MS;

/// How long single samples are kept.
const RAW_MS: i64 = 30 * DAY_MS;

/// How long rollups, intervals and closed incidents are kept.
const ROLLED_MS: i64 = 2 * 365 * DAY_MS;

/// How long what people were told is kept for a channel that has not delivered it. Later it would only confuse.
const OUTBOX_MS: i64 = 30 * DAY_MS;

/// How many rows one step deletes, so that alarms never wait for it.
const STEP_ROWS: i64 = 20_000;

/// One step of the history's maintenance. Whether there is more to do.
pub(crate) async fn history(connection: &mut SqliteConnection, now: Timestamp) -> Result<bool, sqlx::Error> {
    roll_up(connection, now).await?;
    let pruned = sqlx::query(
        "DELETE FROM sample WHERE (series, at) IN ( \
             SELECT sample.series, sample.at FROM series CROSS JOIN sample ON sample.series = series.id \
             WHERE sample.at < min(?1, (SELECT rolled FROM progress WHERE id = 1)) LIMIT ?2)",
    )
    .bind(now.0 - RAW_MS)
    .bind(STEP_ROWS)
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if pruned > 0 {
        return Ok(true);
    }
    sqlx::query("DELETE FROM hourly WHERE hour < ?1")
        .bind(now.0 - ROLLED_MS)
        .execute(&mut *connection)
        .await?;
    sqlx::query("DELETE FROM interval WHERE \"until\" < ?1")
        .bind(now.0 - ROLLED_MS)
        .execute(&mut *connection)
        .await?;
    give_back(connection).await?;
    Ok(false)
}

/// The ledger's maintenance. Open incidents are never pruned.
pub(crate) async fn ledger(connection: &mut SqliteConnection, now: Timestamp) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM outbox WHERE at < ?1").bind(now.0 - OUTBOX_MS).execute(&mut *connection).await?;
    sqlx::query("DELETE FROM incident WHERE open = 0 AND changed < ?1")
        .bind(now.0 - ROLLED_MS)
        .execute(&mut *connection)
        .await?;
    give_back(connection).await
}

/// Sums up every hour that is complete and not summed up yet.
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
async fn give_back(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::query("PRAGMA incremental_vacuum(1024)").execute(&mut *connection).await?;
    sqlx::query("PRAGMA optimize").execute(&mut *connection).await?;
    Ok(())
}
