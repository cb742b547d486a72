//! `history.db`: numbers as samples, rarely changing facts as intervals.

use crate::{
    error::StoreError,
    record::{Interval, Point, Sample, SeriesKey, Span, family_name},
};
use sentinel_model::Timestamp;
use serde_json::json;
use sqlx::{Connection, SqliteConnection, SqlitePool};
use std::collections::HashMap;

pub(crate) const HOUR_MS: i64 = 3_600_000;

/// A range longer than this is answered from the hourly rollups.
const RAW_RANGE_MS: i64 = 48 * HOUR_MS;

/// About as many points as a chart has pixels; more would only slow it down.
const MAX_POINTS: i64 = 720;

/// How far the mark that says the node was there may lag behind when nothing else is written.
const ALIVE_LAG_MS: i64 = 30_000;

/// The writing side. Owned by the writer task.
pub(crate) struct History {
    connection: SqliteConnection,
    series: HashMap<SeriesKey, i64>,
    open: HashMap<String, String>,
    alive: i64,
    written: i64,
}

impl History {
    /// Takes over the connection. Intervals that an earlier run left open end when that run was last there.
    pub(crate) async fn new(mut connection: SqliteConnection) -> Result<Self, StoreError> {
        let doing = "take up the history where it ended";
        sqlx::query(
            "UPDATE interval SET \"until\" = max(since, (SELECT alive FROM progress WHERE id = 1)) WHERE \"until\" IS NULL",
        )
        .execute(&mut connection)
        .await
        .map_err(StoreError::query(doing))?;
        let alive = sqlx::query_scalar::<_, i64>("SELECT alive FROM progress WHERE id = 1")
            .fetch_one(&mut connection)
            .await
            .map_err(StoreError::query(doing))?;
        Ok(Self { connection, series: HashMap::new(), open: HashMap::new(), alive, written: alive })
    }

    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    /// Whether a fact already has this value, so that nothing needs writing.
    pub(crate) fn holds(&self, change: &Interval) -> bool {
        self.open.get(&change.fact).is_some_and(|value| *value == change.value)
    }

    /// Notes that the node was there at this time.
    pub(crate) fn was_alive(&mut self, at: Timestamp) {
        self.alive = self.alive.max(at.0);
    }

    /// Whether the mark that the node was there needs writing though nothing else does.
    pub(crate) fn mark_is_due(&self) -> bool {
        self.alive - self.written >= ALIVE_LAG_MS
    }

    /// Writes everything in one transaction.
    pub(crate) async fn write(
        &mut self,
        samples: &[Sample],
        changes: &[Interval],
    ) -> Result<(), sqlx::Error> {
        for sample in samples {
            self.series_id(&sample.series).await?;
        }
        let rows: Vec<_> = samples
            .iter()
            .filter_map(|sample| Some(json!([self.series.get(&sample.series)?, sample.at.0, sample.value])))
            .collect();
        let mut open = self.open.clone();
        let mut transaction = self.connection.begin().await?;
        if !rows.is_empty() {
            sqlx::query(
                "INSERT OR REPLACE INTO sample (series, at, value) \
                 SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1)",
            )
            .bind(serde_json::Value::Array(rows).to_string())
            .execute(&mut *transaction)
            .await?;
        }
        for change in changes {
            if open.get(&change.fact) != Some(&change.value) {
                switch(&mut transaction, change).await?;
                open.insert(change.fact.clone(), change.value.clone());
            }
        }
        sqlx::query("UPDATE progress SET alive = ?1 WHERE id = 1")
            .bind(self.alive)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        self.open = open;
        self.written = self.alive;
        Ok(())
    }

    pub(crate) async fn close(self) -> Result<(), sqlx::Error> {
        self.connection.close().await
    }

    async fn series_id(&mut self, key: &SeriesKey) -> Result<i64, sqlx::Error> {
        if let Some(id) = self.series.get(key) {
            return Ok(*id);
        }
        // The update changes nothing; it makes RETURNING answer for a row that was there already.
        let id = sqlx::query_scalar::<_, i64>(
            "INSERT INTO series (kind, target, family) VALUES (?1, ?2, ?3) \
             ON CONFLICT (kind, target, family) DO UPDATE SET kind = kind RETURNING id",
        )
        .bind(key.kind.name())
        .bind(&key.target)
        .bind(family_name(key.family))
        .fetch_one(&mut self.connection)
        .await?;
        self.series.insert(key.clone(), id);
        Ok(id)
    }
}

/// Ends the fact's open interval and begins the next. A clock that was set back makes an empty interval, never a
/// negative one.
async fn switch(connection: &mut SqliteConnection, change: &Interval) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE interval SET \"until\" = max(since, ?2) WHERE fact = ?1 AND \"until\" IS NULL")
        .bind(&change.fact)
        .bind(change.at.0)
        .execute(&mut *connection)
        .await?;
    sqlx::query("INSERT OR REPLACE INTO interval (fact, since, \"until\", value) VALUES (?1, ?2, NULL, ?3)")
        .bind(&change.fact)
        .bind(change.at.0)
        .bind(&change.value)
        .execute(&mut *connection)
        .await?;
    Ok(())
}

/// The values a fact had between two times, oldest first.
pub(crate) async fn intervals(
    readers: &SqlitePool,
    fact: &str,
    since: Timestamp,
    until: Timestamp,
) -> Result<Vec<Span>, sqlx::Error> {
    let rows = sqlx::query_as::<_, (String, i64, Option<i64>)>(
        "SELECT value, since, \"until\" FROM interval \
         WHERE fact = ?1 AND since <= ?3 AND (\"until\" IS NULL OR \"until\" >= ?2) ORDER BY since",
    )
    .bind(fact)
    .bind(since.0)
    .bind(until.0)
    .fetch_all(readers)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(value, since, until)| Span { value, since: Timestamp(since), until: until.map(Timestamp) })
        .collect())
}

/// The series between two times (the later one excluded), oldest first, in at most about [`MAX_POINTS`] points. Time
/// without samples has no points.
pub(crate) async fn series(
    readers: &SqlitePool,
    key: &SeriesKey,
    since: Timestamp,
    until: Timestamp,
) -> Result<Vec<Point>, sqlx::Error> {
    let range = until.0.saturating_sub(since.0);
    let Some(id) = find_series(readers, key).await? else { return Ok(Vec::new()) };
    if range <= 0 {
        return Ok(Vec::new());
    }
    let sql = if range <= RAW_RANGE_MS { RAW } else { ROLLED };
    let step = if range <= RAW_RANGE_MS {
        (range / MAX_POINTS).max(1)
    } else {
        (range / MAX_POINTS / HOUR_MS + 1) * HOUR_MS
    };
    let rows = sqlx::query_as::<_, (i64, f64, f64, f64, i64)>(sql)
        .bind(id)
        .bind(since.0)
        .bind(until.0)
        .bind(step)
        .fetch_all(readers)
        .await?;
    Ok(rows
        .into_iter()
        .map(|(at, mean, low, high, count)| Point { at: Timestamp(at), mean, low, high, count })
        .collect())
}

const RAW: &str = "SELECT min(at), avg(value), min(value), max(value), count(*) FROM sample \
    WHERE series = ?1 AND at >= ?2 AND at < ?3 GROUP BY at / ?4 ORDER BY 1";

/// What is rolled up, and after that the raw samples that are not yet.
const ROLLED: &str = "SELECT min(at), sum(mean * count) / sum(count), min(low), max(high), sum(count) FROM ( \
        SELECT hour AS at, mean, low, high, count FROM hourly WHERE series = ?1 AND hour >= ?2 AND hour < ?3 \
        UNION ALL \
        SELECT min(at), avg(value), min(value), max(value), count(*) FROM sample \
        WHERE series = ?1 AND at >= max(?2, (SELECT rolled FROM progress WHERE id = 1)) AND at < ?3 \
        GROUP BY at / 3600000 \
    ) GROUP BY at / ?4 ORDER BY 1";

async fn find_series(readers: &SqlitePool, key: &SeriesKey) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar("SELECT id FROM series WHERE kind = ?1 AND target = ?2 AND family = ?3")
        .bind(key.kind.name())
        .bind(&key.target)
        .bind(family_name(key.family))
        .fetch_optional(readers)
        .await
}
