//! What goes into the history and what comes out of it.

use sentinel_model::{Family, Timestamp};
use serde::{Deserialize, Serialize};

/// What a series measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeriesKind {
    /// Round-trip times, in microseconds.
    Rtt,
}

impl SeriesKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rtt => "rtt",
        }
    }
}

/// Which series a sample belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SeriesKey {
    /// What is measured.
    pub kind: SeriesKind,
    /// Whom it is measured to: a node's id or a service's name.
    pub target: String,
    /// Over which family.
    pub family: Family,
}

/// One measured number.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The series.
    pub series: SeriesKey,
    /// When it was measured. A second sample of the same series and millisecond replaces the first.
    pub at: Timestamp,
    /// The number, in the unit of the series' kind. Not-a-number and infinities are ignored.
    pub value: f64,
}

/// The current value of a fact that rarely changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interval {
    /// The fact: `exit/v4`, `resolvers`, `verdict`.
    pub fact: String,
    /// Its value, as JSON.
    pub value: String,
    /// When it was found to have this value.
    pub at: Timestamp,
}

/// A span of time over which a fact had one value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The value, as JSON.
    pub value: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when; still so, if absent. A span also ends when the node stops, so that the time it was away shows as a gap.
    pub until: Option<Timestamp>,
}

/// A piece of a series: one sample, or many summed up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The start of the time it stands for.
    pub at: Timestamp,
    /// The mean of its samples.
    pub mean: f64,
    /// The smallest.
    pub low: f64,
    /// The largest.
    pub high: f64,
    /// How many samples it sums up.
    pub count: i64,
}

/// The name of a family in the database and in paths.
pub(crate) fn family_name(family: Family) -> &'static str {
    match family {
        Family::V4 => "v4",
        Family::V6 => "v6",
    }
}
