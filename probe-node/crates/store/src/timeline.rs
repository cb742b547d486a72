//! Time as the history trusts it, so that the wall clock never decides alone what is deleted.
//!
//! Records carry wall-clock times, and the wall clock may be wrong by years. The monotonic clock
//! is right but ends with each boot. The history therefore adds up for how long the node has run,
//! and stores the earliest time the wall clock showed on each *running day*, a day of that sum.
//!
//! A record from before the earliest time of the last 30 running days was made before them, so it
//! is at least 30 days old whatever the wall clock shows now. It is deleted if the wall clock
//! agrees. What follows:
//!
//! - A clock that is ahead deletes nothing that is not old, however long it is ahead.
//! - A clock that was set back delays deletion until its readings are older than the retention.
//! - Time in which the node does not run does not count: records are kept longer, never shorter.
//!   The size of the files is bounded, because nothing is recorded in that time.

use crate::maintenance::DAY_MS;
use sentinel_model::{Millis, Moment, Timestamp};
use sqlx::SqliteConnection;
use std::collections::BTreeMap;

/// Largest difference between the clocks' progress that is not taken for a clock that was set.
const MAX_DRIFT_MS: i64 = 5_000;

/// A wall clock that shows less was never set; 2024-01-01. Records of such times are not protected.
const UNSET_BEFORE: i64 = 1_704_067_200_000;

/// How far the stored progress may lag behind while nothing else is written.
const MAX_LAG_MS: i64 = 30_000;

/// The wall clock was set to another time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClockStep {
    /// What the clock would show now if it had not been set.
    pub(crate) before: Timestamp,
    /// What both clocks show now.
    pub(crate) after: Moment,
}

/// The progress of both clocks while the node runs.
pub(crate) struct Timeline {
    /// The latest reading of both clocks.
    last: Moment,
    /// For how many milliseconds the node has run, in all its runs together.
    ran: i64,
    /// The value of `ran` that is stored.
    stored_ran: i64,
    /// The latest stored running day, with its earliest time.
    stored_day: (i64, i64),
    /// Earliest times per running day that are not stored yet.
    unsaved: BTreeMap<i64, i64>,
}

impl Timeline {
    /// Continues the timeline that is stored in the history.
    pub(crate) async fn load(connection: &mut SqliteConnection, now: Moment) -> Result<Self, sqlx::Error> {
        let ran = sqlx::query_scalar::<_, i64>("SELECT ran FROM progress WHERE id = 1")
            .fetch_one(&mut *connection)
            .await?;
        let stored_day =
            sqlx::query_as::<_, (i64, i64)>("SELECT day, earliest FROM running_day WHERE day = ?1")
                .bind(ran / DAY_MS)
                .fetch_optional(connection)
                .await?;
        let stored_day = stored_day.unwrap_or((-1, 0));
        Ok(Self { last: now, ran, stored_ran: ran, stored_day, unsaved: BTreeMap::new() })
    }

    /// Takes a reading of both clocks, and returns a step of the wall clock since the previous one.
    pub(crate) fn advance(&mut self, now: Moment) -> Option<ClockStep> {
        let elapsed = signed(now.boot.since(self.last.boot));
        let before = Timestamp(self.last.wall.0.saturating_add(elapsed));
        self.ran = self.ran.saturating_add(elapsed);
        self.last = now;
        self.note_recorded(now.wall);
        let drift = now.wall.0.saturating_sub(before.0).saturating_abs();
        (drift > MAX_DRIFT_MS).then_some(ClockStep { before, after: now })
    }

    /// Notes that a record with this time is being made on the current running day.
    pub(crate) fn note_recorded(&mut self, at: Timestamp) {
        let day = self.ran / DAY_MS;
        let stored = self.stored_day.0 == day && self.stored_day.1 <= at.0;
        if at.0 >= UNSET_BEFORE && !stored {
            let earliest = self.unsaved.entry(day).or_insert(at.0);
            *earliest = at.0.min(*earliest);
        }
    }

    /// Returns the latest reading of both clocks.
    pub(crate) fn last(&self) -> Moment {
        self.last
    }

    /// Returns true if the progress should be stored even though nothing else is.
    pub(crate) fn is_save_due(&self) -> bool {
        self.ran - self.stored_ran >= MAX_LAG_MS || !self.unsaved.is_empty()
    }

    /// Stores the progress. [`Timeline::note_saved`] must follow once that is committed.
    pub(crate) async fn save(&self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        sqlx::query("UPDATE progress SET alive = ?1, ran = ?2 WHERE id = 1")
            .bind(self.last.wall.0)
            .bind(self.ran)
            .execute(&mut *connection)
            .await?;
        for (day, earliest) in &self.unsaved {
            sqlx::query(
                "INSERT INTO running_day (day, earliest) VALUES (?1, ?2) \
                 ON CONFLICT (day) DO UPDATE SET earliest = min(earliest, excluded.earliest)",
            )
            .bind(day)
            .bind(earliest)
            .execute(&mut *connection)
            .await?;
        }
        Ok(())
    }

    /// Notes that the progress is stored.
    pub(crate) fn note_saved(&mut self) {
        self.stored_ran = self.ran;
        if let Some(latest) = self.unsaved.pop_last() {
            self.stored_day = latest;
        }
        self.unsaved.clear();
    }

    /// Returns the time before which every record is older than this, by both clocks.
    ///
    /// Returns `None` if the node has not run for that long.
    pub(crate) async fn cutoff(
        &self,
        connection: &mut SqliteConnection,
        retention_ms: i64,
    ) -> Result<Option<i64>, sqlx::Error> {
        if self.ran < retention_ms {
            return Ok(None);
        }
        let stored =
            sqlx::query_scalar::<_, Option<i64>>("SELECT min(earliest) FROM running_day WHERE day >= ?1")
                .bind((self.ran - retention_ms) / DAY_MS)
                .fetch_one(connection)
                .await?;
        let earliest = self.unsaved.values().copied().chain(stored).min();
        Ok(earliest.map(|earliest| earliest.min(self.last.wall.0.saturating_sub(retention_ms))))
    }
}

/// Returns a duration as a signed number of milliseconds.
pub(crate) fn signed(span: Millis) -> i64 {
    i64::try_from(span.0).unwrap_or(i64::MAX)
}
