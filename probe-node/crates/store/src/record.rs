//! What goes into the history and what comes out of it.

use crate::fact::RecordedFact;
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
    /// Returns the name used in the database.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rtt => "rtt",
        }
    }
}

/// Identifies a series.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SeriesKey {
    /// What is measured.
    pub kind: SeriesKind,
    /// The other end of the measurement: a node's id or a service's name.
    pub target: String,
    /// The IP version it is measured over.
    pub family: Family,
}

/// One measured number.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The series it belongs to.
    pub series: SeriesKey,
    /// When it was measured.
    ///
    /// A second sample of the same series and millisecond replaces the first.
    pub at: Timestamp,
    /// The number, in the unit of the series' kind.
    ///
    /// NaN and infinities are ignored.
    pub value: f64,
}

/// The value of a fact at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactValue {
    /// The fact.
    pub fact: RecordedFact,
    /// Its value, as JSON.
    pub value: String,
    /// When the fact was found to have this value.
    pub at: Timestamp,
}

/// A span of time during which a fact had one value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactInterval {
    /// The value, as JSON.
    pub value: String,
    /// The start.
    pub since: Timestamp,
    /// The end, or `None` while the fact still has this value.
    ///
    /// An interval also ends when the node stops, so the time it was not running shows as a gap.
    pub until: Option<Timestamp>,
}

/// One point of a series: a single sample, or the summary of several consecutive ones.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeriesPoint {
    /// The start of the time the point covers.
    pub at: Timestamp,
    /// The mean of its samples.
    pub mean: f64,
    /// The smallest sample.
    pub low: f64,
    /// The largest sample.
    pub high: f64,
    /// The number of samples.
    pub count: i64,
}
