//! How often things are measured, and which deviations count.

use jiff::SignedDuration;
use sentinel_judge::ExitChange;
use sentinel_model::Millis;
use serde::Deserialize;
use std::num::NonZeroU8;

/// `[cadence]`: how often things are measured.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CadenceConfig {
    /// Time between two beacons; 1 s by default.
    pub beacon: Interval,
    /// Time between two full rounds; 30 s by default.
    pub round: Interval,
    /// Time limit of a single check; 3 s by default.
    pub timeout: Interval,
}

impl Default for CadenceConfig {
    fn default() -> Self {
        Self {
            beacon: Interval(Millis::secs(1)),
            round: Interval(Millis::secs(30)),
            // Two lost packets and a retransmission on a slow path fit in; a slower answer is of
            // little use.
            timeout: Interval(Millis::secs(3)),
        }
    }
}

/// A duration between 100 ms and one day, written `1s`, `500ms`, `2min`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "SignedDuration")]
pub struct Interval(pub Millis);

impl TryFrom<SignedDuration> for Interval {
    type Error = String;

    fn try_from(duration: SignedDuration) -> Result<Self, String> {
        match u64::try_from(duration.as_millis()) {
            Ok(millis @ 100..=86_400_000) => Ok(Self(Millis(millis))),
            _ => Err(format!("{duration:#} is outside 100ms to 24h")),
        }
    }
}

/// `[thresholds]`: which deviations count.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ThresholdsConfig {
    /// The smallest drop in latency to report, in percent; 15 by default.
    pub latency_drop_percent: Option<Percent>,
    /// How many names must resolve wrongly to count; 2 by default.
    pub dns_mismatch_names: Option<NonZeroU8>,
    /// What a changed exit means where no exit is expected; `inform` by default.
    pub exit_change: ExitChange,
}

/// A share between 1 and 99 percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u8")]
pub struct Percent(u8);

impl Percent {
    /// Returns the share as a fraction of one.
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

impl TryFrom<u8> for Percent {
    type Error = String;

    fn try_from(value: u8) -> Result<Self, String> {
        if (1..=99).contains(&value) {
            Ok(Self(value))
        } else {
            Err(format!("{value} is outside 1 to 99 percent"))
        }
    }
}
