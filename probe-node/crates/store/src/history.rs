//! `history.db`: samples of measured numbers, and intervals of facts that rarely change.

use crate::{
    error::StoreError,
    fact::RecordedFact,
    maintenance::{
        Cutoffs, HOUR_MS, HistoryStep, LONG_RETENTION_MS, SHORT_RETENTION_MS, hour_of, maintain_history,
    },
    record::{FactInterval, FactValue, Sample, SeriesKey, SeriesPoint},
    timeline::{ClockStep, Timeline, signed},
};
use sentinel_model::{Moment, Monotonic, Timestamp};
use serde_json::json;
use sqlx::{Connection, SqliteConnection, SqlitePool};
use std::collections::{BTreeSet, HashMap};

/// Longest range that is answered from raw samples; longer ones use the hourly rollups.
const MAX_RAW_RANGE_MS: i64 = 48 * HOUR_MS;

/// Approximate limit of points per answer. A chart has about as many pixels.
const MAX_POINTS: i64 = 720;

/// The writing side, owned by the writer task.
pub(crate) struct History {
    connection: SqliteConnection,
    /// Row ids of the series written in this run.
    series_ids: HashMap<SeriesKey, i64>,
    /// The open interval of each fact.
    open_intervals: HashMap<RecordedFact, OpenInterval>,
    timeline: Timeline,
}

/// An interval that has not ended.
#[derive(Clone)]
struct OpenInterval {
    value: String,
    /// When it began, on the monotonic clock.
    began: Monotonic,
}

/// What changes the intervals.
pub(crate) enum IntervalChange {
    /// A fact was found to have this value when the monotonic clock showed this.
    Value(FactValue, Monotonic),
    /// The wall clock was set.
    ClockStep(ClockStep),
}

impl History {
    /// Takes over the connection and ends the intervals that an earlier run left open.
    ///
    /// They end when that run last recorded anything, but not in the future: the clock may have
    /// been ahead then.
    pub(crate) async fn new(mut connection: SqliteConnection, now: Moment) -> Result<Self, StoreError> {
        let doing = "continue the history";
        sqlx::query(
            "UPDATE interval SET \"until\" = max(since, CASE WHEN since > ?1 THEN alive ELSE min(alive, ?1) END) \
             FROM progress WHERE progress.id = 1 AND \"until\" IS NULL",
        )
        .bind(now.wall.0)
        .execute(&mut connection)
        .await
        .map_err(StoreError::query(doing))?;
        let timeline = Timeline::load(&mut connection, now).await.map_err(StoreError::query(doing))?;
        Ok(Self { connection, series_ids: HashMap::new(), open_intervals: HashMap::new(), timeline })
    }

    /// Runs one step of maintenance. Returns the ledger's cutoffs when there is nothing more to do.
    pub(crate) async fn maintain(&mut self) -> Result<Option<Cutoffs>, sqlx::Error> {
        let cutoffs = Cutoffs {
            short: self.timeline.cutoff(&mut self.connection, SHORT_RETENTION_MS).await?,
            long: self.timeline.cutoff(&mut self.connection, LONG_RETENTION_MS).await?,
        };
        match maintain_history(&mut self.connection, self.timeline.last().wall, cutoffs).await? {
            HistoryStep::Worked => Ok(None),
            HistoryStep::RemovedSeries(ids) => {
                self.series_ids.retain(|_, id| !ids.contains(id));
                Ok(None)
            }
            HistoryStep::Done => Ok(Some(cutoffs)),
        }
    }

    pub(crate) fn into_connection(self) -> SqliteConnection {
        self.connection
    }

    /// Returns true if the fact's open interval already has this value.
    pub(crate) fn is_current(&self, reported: &FactValue) -> bool {
        self.open_intervals.get(&reported.fact).is_some_and(|open| open.value == reported.value)
    }

    pub(crate) fn timeline(&mut self) -> &mut Timeline {
        &mut self.timeline
    }

    /// Writes everything in one transaction.
    pub(crate) async fn write(
        &mut self,
        samples: &[Sample],
        changes: &[IntervalChange],
    ) -> Result<(), sqlx::Error> {
        for sample in samples {
            self.series_id(&sample.series).await?;
        }
        let rows: Vec<_> = samples
            .iter()
            .filter_map(|sample| Some((*self.series_ids.get(&sample.series)?, sample.at.0, sample.value)))
            .collect();
        let mut open = self.open_intervals.clone();
        let mut transaction = self.connection.begin().await?;
        if !rows.is_empty() {
            sqlx::query(
                "INSERT OR REPLACE INTO sample (series, at, value) \
                 SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1)",
            )
            .bind(json!(rows).to_string())
            .execute(&mut *transaction)
            .await?;
            mark_unrolled(&mut transaction, &rows).await?;
        }
        for change in changes {
            match change {
                IntervalChange::Value(reported, at) => {
                    change_value(&mut transaction, &mut open, reported, *at).await?;
                }
                IntervalChange::ClockStep(step) => {
                    split_intervals(&mut transaction, &mut open, *step).await?;
                }
            }
        }
        self.timeline.save(&mut transaction).await?;
        transaction.commit().await?;
        self.open_intervals = open;
        self.timeline.note_saved();
        Ok(())
    }

    /// Returns the row id of a series, inserting the row if it is missing.
    async fn series_id(&mut self, key: &SeriesKey) -> Result<i64, sqlx::Error> {
        if let Some(id) = self.series_ids.get(key) {
            return Ok(*id);
        }
        // The update changes nothing. It makes RETURNING yield the id of an existing row.
        let id = sqlx::query_scalar::<_, i64>(
            "INSERT INTO series (kind, target, family) VALUES (?1, ?2, ?3) \
             ON CONFLICT (kind, target, family) DO UPDATE SET kind = kind RETURNING id",
        )
        .bind(key.kind.name())
        .bind(&key.target)
        .bind(key.family.name())
        .fetch_one(&mut self.connection)
        .await?;
        self.series_ids.insert(key.clone(), id);
        Ok(id)
    }
}

/// Marks the hours of these samples, given as series, time and value, for the next rollup.
async fn mark_unrolled(
    connection: &mut SqliteConnection,
    rows: &[(i64, i64, f64)],
) -> Result<(), sqlx::Error> {
    let hours: BTreeSet<_> = rows.iter().map(|(series, at, _)| (series, hour_of(*at))).collect();
    sqlx::query(
        "INSERT OR IGNORE INTO unrolled (series, hour) SELECT value ->> 0, value ->> 1 FROM json_each(?1)",
    )
    .bind(json!(hours).to_string())
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends the fact's open interval and starts the next, if the value has changed.
///
/// If the wall clock was set back a little, the interval gets the length that was measured.
async fn change_value(
    connection: &mut SqliteConnection,
    open: &mut HashMap<RecordedFact, OpenInterval>,
    reported: &FactValue,
    at: Monotonic,
) -> Result<(), sqlx::Error> {
    let ended = open.get(&reported.fact);
    if ended.is_some_and(|ended| ended.value == reported.value) {
        return Ok(());
    }
    if let Some(ended) = ended {
        sqlx::query(
            "UPDATE interval SET \"until\" = CASE WHEN ?2 > since THEN ?2 ELSE since + ?3 END \
             WHERE fact = ?1 AND \"until\" IS NULL",
        )
        .bind(reported.fact.to_string())
        .bind(reported.at.0)
        .bind(signed(at.since(ended.began)))
        .execute(&mut *connection)
        .await?;
    }
    start_interval(connection, reported.fact, reported.at, &reported.value).await?;
    open.insert(reported.fact, OpenInterval { value: reported.value.clone(), began: at });
    Ok(())
}

/// Ends all open intervals where the wall clock was before it was set, and starts them again.
///
/// Otherwise an interval would include the time by which the clock was set forward, or end before
/// it began.
async fn split_intervals(
    connection: &mut SqliteConnection,
    open: &mut HashMap<RecordedFact, OpenInterval>,
    step: ClockStep,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE interval SET \"until\" = max(since, ?1) WHERE \"until\" IS NULL")
        .bind(step.before.0)
        .execute(&mut *connection)
        .await?;
    for (fact, interval) in open {
        start_interval(connection, *fact, step.after.wall, &interval.value).await?;
        interval.began = step.after.boot;
    }
    Ok(())
}

async fn start_interval(
    connection: &mut SqliteConnection,
    fact: RecordedFact,
    since: Timestamp,
    value: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT OR REPLACE INTO interval (fact, since, \"until\", value) VALUES (?1, ?2, NULL, ?3)")
        .bind(fact.to_string())
        .bind(since.0)
        .bind(value)
        .execute(connection)
        .await?;
    Ok(())
}

/// Returns the intervals of a fact that overlap the given range, oldest first.
pub(crate) async fn read_intervals(
    readers: &SqlitePool,
    fact: RecordedFact,
    since: Timestamp,
    until: Timestamp,
) -> Result<Vec<FactInterval>, sqlx::Error> {
    let rows = sqlx::query_as::<_, (String, i64, Option<i64>)>(
        "SELECT value, since, \"until\" FROM interval \
         WHERE fact = ?1 AND since <= ?3 AND (\"until\" IS NULL OR \"until\" >= ?2) ORDER BY since",
    )
    .bind(fact.to_string())
    .bind(since.0)
    .bind(until.0)
    .fetch_all(readers)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(value, since, until)| FactInterval {
            value,
            since: Timestamp(since),
            until: until.map(Timestamp),
        })
        .collect())
}

/// Returns the points of a series from `since` up to but not including `until`, oldest first.
///
/// Returns about [`MAX_POINTS`] at most. Time without samples has no points.
pub(crate) async fn read_series(
    readers: &SqlitePool,
    key: &SeriesKey,
    since: Timestamp,
    until: Timestamp,
) -> Result<Vec<SeriesPoint>, sqlx::Error> {
    let range = until.0.saturating_sub(since.0);
    let Some(id) = find_series(readers, key).await? else { return Ok(Vec::new()) };
    if range <= 0 {
        return Ok(Vec::new());
    }
    let sql = if range <= MAX_RAW_RANGE_MS { POINTS_OF_SAMPLES } else { POINTS_OF_ROLLUPS };
    let step = if range <= MAX_RAW_RANGE_MS {
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
        .map(|(at, mean, low, high, count)| SeriesPoint { at: Timestamp(at), mean, low, high, count })
        .collect())
}

/// Raw samples, grouped into steps of `?4` milliseconds.
const POINTS_OF_SAMPLES: &str = "SELECT min(at), avg(value), min(value), max(value), count(*) FROM sample \
    WHERE series = ?1 AND at >= ?2 AND at < ?3 GROUP BY at / ?4 ORDER BY 1";

/// Hourly rollups, and the raw samples of the hours that are not rolled up yet.
const POINTS_OF_ROLLUPS: &str = "SELECT min(at), sum(mean * count) / sum(count), min(low), max(high), sum(count) FROM ( \
        SELECT hour AS at, mean, low, high, count FROM hourly \
        WHERE series = ?1 AND hour >= ?2 AND hour < ?3 \
        AND NOT EXISTS (SELECT 1 FROM unrolled WHERE unrolled.series = ?1 AND unrolled.hour = hourly.hour) \
        UNION ALL \
        SELECT min(at), avg(value), min(value), max(value), count(*) \
        FROM unrolled CROSS JOIN sample ON sample.series = ?1 AND at >= hour AND at < hour + 3600000 \
        WHERE unrolled.series = ?1 AND hour > ?2 - 3600000 AND hour < ?3 AND at >= ?2 AND at < ?3 \
        GROUP BY hour \
    ) GROUP BY at / ?4 ORDER BY 1";

async fn find_series(readers: &SqlitePool, key: &SeriesKey) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar("SELECT id FROM series WHERE kind = ?1 AND target = ?2 AND family = ?3")
        .bind(key.kind.name())
        .bind(&key.target)
        .bind(key.family.name())
        .fetch_optional(readers)
        .await
}
