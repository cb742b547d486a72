//! Keeps the files small: hourly rollups, pruning of old records, release of free space.
//!
//! Each call does one short step, so that other writes wait for a few milliseconds at most.

use sentinel_model::Timestamp;
use sqlx::{Connection, SqliteConnection};

/// One hour, in milliseconds.
pub(crate) const HOUR_MS: i64 = 3_600_000;

/// One day, in milliseconds.
pub(crate) const DAY_MS: i64 = 24 * HOUR_MS;

/// How long raw samples are kept, and notices for channels that have not delivered them.
pub(crate) const SHORT_RETENTION_MS: i64 = 30 * DAY_MS;

/// How long rollups, intervals and closed incidents are kept.
pub(crate) const LONG_RETENTION_MS: i64 = 2 * 365 * DAY_MS;

/// Number of hours of a series that one step rolls up, each of up to 3600 samples.
const HOURS_PER_STEP: i64 = 4;

/// Number of rows of the history that one step deletes at most.
const HISTORY_ROWS_PER_STEP: i64 = 4_000;

/// Number of rows of the ledger that one step deletes at most. An incident takes about a page.
const LEDGER_ROWS_PER_STEP: i64 = 200;

/// Number of free pages that one step releases at most.
const PAGES_PER_STEP: i64 = 256;

/// Number of free pages that are left for the next hour's records.
const RESERVED_PAGES: i64 = 1024;

/// The times before which records are deleted, as the timeline determines them; `None` for never.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cutoffs {
    /// For what is kept for [`SHORT_RETENTION_MS`].
    pub(crate) short: Option<i64>,
    /// For what is kept for [`LONG_RETENTION_MS`].
    pub(crate) long: Option<i64>,
}

/// What a step of the history's maintenance did.
pub(crate) enum HistoryStep {
    /// Something; there may be more to do.
    Worked,
    /// It removed the rows of series that have neither samples nor rollups, with these ids.
    RemovedSeries(Vec<i64>),
    /// There was nothing to do.
    Done,
}

/// Returns the first millisecond of the hour of a time.
pub(crate) fn hour_of(at: i64) -> i64 {
    at.div_euclid(HOUR_MS) * HOUR_MS
}

/// Runs one step of the history's maintenance.
pub(crate) async fn maintain_history(
    connection: &mut SqliteConnection,
    now: Timestamp,
    cutoffs: Cutoffs,
) -> Result<HistoryStep, sqlx::Error> {
    let worked = roll_up(connection, now).await?
        || prune_samples(connection, cutoffs.short).await?
        || prune_rollups(connection, cutoffs.long).await?
        || prune_intervals(connection, cutoffs.long).await?;
    if worked {
        return Ok(HistoryStep::Worked);
    }
    let removed = sqlx::query_scalar::<_, i64>(
        "DELETE FROM series WHERE NOT EXISTS (SELECT 1 FROM sample WHERE series = series.id) \
         AND NOT EXISTS (SELECT 1 FROM hourly WHERE series = series.id) RETURNING id",
    )
    .fetch_all(&mut *connection)
    .await?;
    if !removed.is_empty() {
        return Ok(HistoryStep::RemovedSeries(removed));
    }
    Ok(if release_free_pages(connection).await? { HistoryStep::Worked } else { HistoryStep::Done })
}

/// Runs one step of the ledger's maintenance and returns true if there is more to do.
///
/// Open incidents are never pruned. A comparison with a cutoff that is null is never true.
pub(crate) async fn maintain_ledger(
    connection: &mut SqliteConnection,
    cutoffs: Cutoffs,
) -> Result<bool, sqlx::Error> {
    let notices =
        sqlx::query("DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE at < ?1 LIMIT ?2)")
            .bind(cutoffs.short)
            .bind(LEDGER_ROWS_PER_STEP)
            .execute(&mut *connection)
            .await?;
    if notices.rows_affected() > 0 {
        return Ok(true);
    }
    let incidents = sqlx::query(
        "DELETE FROM incident WHERE id IN (SELECT id FROM incident WHERE open = 0 AND changed < ?1 LIMIT ?2)",
    )
    .bind(cutoffs.long)
    .bind(LEDGER_ROWS_PER_STEP)
    .execute(&mut *connection)
    .await?;
    Ok(incidents.rows_affected() > 0 || release_free_pages(connection).await?)
}

/// Rolls up a few hours that have samples newer than their rollup, but not the current hour.
///
/// Samples whose hour was pruned long ago do not replace its rollup. Such samples appear when the
/// clock is set back.
async fn roll_up(connection: &mut SqliteConnection, now: Timestamp) -> Result<bool, sqlx::Error> {
    let hours =
        sqlx::query_as::<_, (i64, i64)>("SELECT series, hour FROM unrolled WHERE hour <> ?1 LIMIT ?2")
            .bind(hour_of(now.0))
            .bind(HOURS_PER_STEP)
            .fetch_all(&mut *connection)
            .await?;
    let mut transaction = connection.begin().await?;
    for (series, hour) in &hours {
        sqlx::query(
            "INSERT INTO hourly (series, hour, mean, low, high, count) \
             SELECT ?1, ?2, avg(value), min(value), max(value), count(*) FROM sample \
             WHERE series = ?1 AND at >= ?2 AND at < ?2 + 3600000 GROUP BY series \
             ON CONFLICT (series, hour) DO UPDATE SET mean = excluded.mean, low = excluded.low, \
             high = excluded.high, count = excluded.count WHERE excluded.count >= hourly.count",
        )
        .bind(series)
        .bind(hour)
        .execute(&mut *transaction)
        .await?;
        sqlx::query("DELETE FROM unrolled WHERE series = ?1 AND hour = ?2")
            .bind(series)
            .bind(hour)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(!hours.is_empty())
}

/// Deletes raw samples of whole hours before a time, except of hours that are not rolled up.
async fn prune_samples(connection: &mut SqliteConnection, before: Option<i64>) -> Result<bool, sqlx::Error> {
    let deleted = sqlx::query(
        "DELETE FROM sample WHERE (series, at) IN ( \
             SELECT sample.series, sample.at FROM series CROSS JOIN sample ON sample.series = series.id \
             WHERE sample.at < ?1 AND NOT EXISTS (SELECT 1 FROM unrolled \
                 WHERE unrolled.series = sample.series AND unrolled.hour = sample.at / 3600000 * 3600000) \
             LIMIT ?2)",
    )
    .bind(before.map(hour_of))
    .bind(HISTORY_ROWS_PER_STEP)
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected() > 0)
}

async fn prune_rollups(connection: &mut SqliteConnection, before: Option<i64>) -> Result<bool, sqlx::Error> {
    let deleted = sqlx::query(
        "DELETE FROM hourly WHERE (series, hour) IN ( \
             SELECT hourly.series, hourly.hour FROM series CROSS JOIN hourly ON hourly.series = series.id \
             WHERE hourly.hour < ?1 LIMIT ?2)",
    )
    .bind(before)
    .bind(HISTORY_ROWS_PER_STEP)
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected() > 0)
}

async fn prune_intervals(
    connection: &mut SqliteConnection,
    before: Option<i64>,
) -> Result<bool, sqlx::Error> {
    let deleted = sqlx::query(
        "DELETE FROM interval WHERE (fact, since) IN ( \
             SELECT fact, since FROM interval WHERE \"until\" < ?1 LIMIT ?2)",
    )
    .bind(before)
    .bind(HISTORY_ROWS_PER_STEP)
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected() > 0)
}

/// Returns some free pages to the file system, and true if there are more.
///
/// A reserve is kept, because the next hour's records would take those pages again.
async fn release_free_pages(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let free = count_free_pages(connection).await?;
    if free <= RESERVED_PAGES {
        sqlx::query("PRAGMA optimize").execute(connection).await?;
        return Ok(false);
    }
    let pages = PAGES_PER_STEP.min(free - RESERVED_PAGES);
    sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA incremental_vacuum({pages})")))
        .execute(&mut *connection)
        .await?;
    Ok(count_free_pages(connection).await? < free)
}

async fn count_free_pages(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("PRAGMA freelist_count").fetch_one(connection).await
}
