//! Time, as two clocks that are never mixed: a monotonic one that counts suspend and measures intervals, and the wall
//! clock, which is for people.

use serde::{Deserialize, Serialize};
use std::{fmt, ops::Sub, sync::Arc};

/// A duration in whole milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// So many seconds.
    pub const fn secs(seconds: u64) -> Self {
        Self(seconds * 1000)
    }

    /// The same span as a standard duration.
    pub const fn duration(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&humanize(*self))
    }
}

/// A duration in microseconds; what round trips are measured in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micros(pub u32);

impl Micros {
    /// The same span in milliseconds, with its fraction.
    pub fn as_millis_f64(self) -> f64 {
        f64::from(self.0) / 1000.0
    }
}

impl From<std::time::Duration> for Micros {
    /// Saturates at about 71 minutes, far beyond any round trip.
    fn from(duration: std::time::Duration) -> Self {
        Self(u32::try_from(duration.as_micros()).unwrap_or(u32::MAX))
    }
}

/// Milliseconds on a clock that started at boot, never jumps and goes on counting while the machine sleeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Monotonic(pub u64);

impl Monotonic {
    /// Time from `earlier` to here; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }

    /// The instant `span` later.
    #[must_use]
    pub fn after(self, span: Millis) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Sub for Monotonic {
    type Output = Millis;

    fn sub(self, earlier: Self) -> Millis {
        self.since(earlier)
    }
}

/// Wall-clock time in milliseconds since 1970-01-01 UTC. For display and for comparing with other machines; never for
/// measuring intervals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The time of day as `14:02:11`, at the given offset from UTC.
    pub fn time_of_day(self, offset: UtcOffset) -> String {
        let seconds = (self.0.div_euclid(1000) + i64::from(offset.0)).rem_euclid(86_400);
        format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }

    /// Wall time from `earlier` to here; zero if the clock was set back in between.
    pub fn since(self, earlier: Self) -> Millis {
        Millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// The local offset from UTC, in seconds east.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UtcOffset(pub i32);

/// One instant on both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// For intervals.
    pub boot: Monotonic,
    /// For people.
    pub wall: Timestamp,
}

/// Where a crate that must not read a clock gets the time from.
pub type Clock = Arc<dyn Fn() -> Moment + Send + Sync>;

/// A duration the way people read it: `41 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
pub fn humanize(span: Millis) -> String {
    let seconds = span.0 / 1000;
    let pair = |big: u64, unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{big} {unit}"),
        _ => format!("{big} {unit} {small} {small_unit}"),
    };
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => pair(seconds / 60, "min", seconds % 60, "s"),
        3600..86_400 => pair(seconds / 3600, "h", seconds / 60 % 60, "min"),
        _ => pair(seconds / 86_400, "d", seconds / 3600 % 24, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        for (seconds, text) in
            [(41, "41 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (60, "1 min"), (93_600, "1 d 2 h")]
        {
            assert_eq!(humanize(Millis::secs(seconds)), text);
        }
    }

    #[test]
    fn time_of_day_follows_the_offset_across_midnight() {
        let late = Timestamp(86_399_000);
        assert_eq!(late.time_of_day(UtcOffset(0)), "23:59:59");
        assert_eq!(late.time_of_day(UtcOffset(3600)), "00:59:59");
        assert_eq!(Timestamp(0).time_of_day(UtcOffset(-3600)), "23:00:00");
    }
}
