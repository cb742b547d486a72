//! Times and durations, and how people read them.
//!
//! There are two clocks, which are never mixed. The monotonic one counts the time the machine
//! sleeps and measures intervals. The wall clock is for display.

use serde::{Deserialize, Serialize};
use std::{fmt, ops::Sub, sync::Arc};

/// From this distance on, a time of day alone would be ambiguous.
const DAY: Millis = Millis::secs(86_400);

/// A duration in whole milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// Creates a duration of whole seconds.
    pub const fn secs(seconds: u64) -> Self {
        Self(seconds * 1000)
    }

    /// Returns the same span as a standard duration.
    pub const fn duration(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&humanize(*self))
    }
}

/// A duration in whole microseconds, the unit of round-trip times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micros(pub u32);

impl Micros {
    /// Returns the same span in milliseconds, with its fraction.
    pub fn as_millis_f64(self) -> f64 {
        f64::from(self.0) / 1000.0
    }
}

impl From<std::time::Duration> for Micros {
    /// Converts a standard duration. Saturates at about 71 minutes, far beyond any round trip.
    fn from(duration: std::time::Duration) -> Self {
        Self(u32::try_from(duration.as_micros()).unwrap_or(u32::MAX))
    }
}

/// Milliseconds since boot on a clock that never jumps and counts the time the machine sleeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Monotonic(pub u64);

impl Monotonic {
    /// Returns the time since `earlier`, or zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }

    /// Returns the instant `span` later.
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

/// Wall-clock time in milliseconds since 1970-01-01 UTC.
///
/// It is for display and for comparison with other machines, never for measuring intervals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Returns the local time of day: `14:02:11`.
    pub fn time_of_day(self, offset: UtcOffset) -> String {
        let seconds = (self.0.div_euclid(1000) + i64::from(offset.0)).rem_euclid(86_400);
        format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }

    /// Returns the local time, with the date if it is a day or more away from `now`.
    ///
    /// `14:02:11` within a day, before or after; otherwise `2026-11-25 14:02:11`.
    pub fn format_local(self, now: Self, offset: UtcOffset) -> String {
        let time = self.time_of_day(offset);
        if self.0.abs_diff(now.0) < DAY.0 { time } else { format!("{} {time}", self.date(offset)) }
    }

    /// Returns since when something has lasted.
    ///
    /// `since 14:02:11` within a day, and `for 3 d 4 h` after that.
    pub fn format_since(self, now: Self, offset: UtcOffset) -> String {
        let lasted = now.since(self);
        if lasted < DAY {
            format!("since {}", self.time_of_day(offset))
        } else {
            format!("for {}", humanize(lasted))
        }
    }

    /// Returns the local date in the proleptic Gregorian calendar: `2026-11-25`.
    ///
    /// Counts years from March, so that the leap day is the last of its year, within eras of 400
    /// years.
    fn date(self, offset: UtcOffset) -> String {
        const DAYS_FROM_YEAR_0_TO_1970: i64 = 719_468;
        const DAYS_PER_ERA: i64 = 146_097;
        let days = (self.0.div_euclid(1000) + i64::from(offset.0)).div_euclid(86_400);
        let days = days + DAYS_FROM_YEAR_0_TO_1970;
        let (era, day_of_era) = (days.div_euclid(DAYS_PER_ERA), days.rem_euclid(DAYS_PER_ERA));
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        format!("{year:04}-{month:02}-{day:02}")
    }

    /// Returns the wall time since `earlier`, or zero if the clock was set back in between.
    pub fn since(self, earlier: Self) -> Millis {
        Millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// An offset from UTC, in seconds east.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UtcOffset(pub i32);

/// One instant on both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// For measuring intervals.
    pub boot: Monotonic,
    /// For display.
    pub wall: Timestamp,
}

/// A source of the current time, for crates that must not read a clock themselves.
pub type Clock = Arc<dyn Fn() -> Moment + Send + Sync>;

/// Formats a duration as people read it: `41 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
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

    /// 2026-11-25 14:02:11 UTC.
    const AFTERNOON: Timestamp = Timestamp(1_795_615_331_000);

    fn later(span: Millis) -> Timestamp {
        Timestamp(AFTERNOON.0 + i64::try_from(span.0).unwrap())
    }

    #[test]
    fn a_local_time_has_its_date_from_a_day_on() {
        let almost_a_day = Millis(DAY.0 - 1);
        assert_eq!(AFTERNOON.format_local(later(almost_a_day), UtcOffset(0)), "14:02:11");
        assert_eq!(AFTERNOON.format_local(later(DAY), UtcOffset(0)), "2026-11-25 14:02:11");
        assert_eq!(later(almost_a_day).format_local(AFTERNOON, UtcOffset(0)), "14:02:10", "in the future");
        assert_eq!(later(DAY).format_local(AFTERNOON, UtcOffset(0)), "2026-11-26 14:02:11");
    }

    #[test]
    fn a_local_date_follows_the_offset() {
        let now = later(Millis::secs(1_000_000));
        assert_eq!(AFTERNOON.format_local(now, UtcOffset(36_000)), "2026-11-26 00:02:11");
        assert_eq!(AFTERNOON.format_local(now, UtcOffset(-54_000)), "2026-11-24 23:02:11");
    }

    #[test]
    fn since_is_a_time_within_a_day_and_a_duration_after_that() {
        let east = UtcOffset(7200);
        assert_eq!(AFTERNOON.format_since(later(Millis::secs(41)), east), "since 16:02:11");
        assert_eq!(AFTERNOON.format_since(later(Millis(DAY.0 - 1)), east), "since 16:02:11");
        assert_eq!(AFTERNOON.format_since(later(DAY), east), "for 1 d");
        assert_eq!(AFTERNOON.format_since(later(Millis::secs(273_600)), east), "for 3 d 4 h");
        assert_eq!(later(DAY).format_since(AFTERNOON, east), "since 16:02:11", "a clock that was set back");
    }

    #[test]
    fn dates_are_right_around_leap_days_and_before_1970() {
        for (seconds, date) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (951_782_399, "2000-02-28"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_709_164_800, "2024-02-29"),
            (1_709_251_200, "2024-03-01"),
            (4_107_542_399, "2100-02-28"),
            (4_107_542_400, "2100-03-01"),
            (-2_203_891_200, "1900-03-01"),
        ] {
            assert_eq!(Timestamp(seconds * 1000).date(UtcOffset(0)), date);
        }
    }

    proptest::proptest! {
        #[test]
        fn a_day_later_the_date_has_advanced(days in -800_000i64..800_000) {
            let date = |days: i64| Timestamp(days * 86_400_000).date(UtcOffset(0));
            let parts = |text: &str| {
                text.rsplitn(3, '-').map(|part| part.parse::<i64>().unwrap()).collect::<Vec<_>>()
            };
            let (today, tomorrow) = (parts(&date(days)), parts(&date(days + 1)));
            let next_day = tomorrow[0] == today[0] + 1 && tomorrow[1..] == today[1..];
            let next_month = tomorrow[0] == 1 && tomorrow[1] == today[1] + 1 && tomorrow[2] == today[2];
            let next_year = tomorrow == [1, 1, today[2] + 1] && today[..2] == [31, 12];
            proptest::prop_assert!(next_day || next_month || next_year, "{} then {}", date(days), date(days + 1));
        }
    }

    #[test]
    fn intervals_never_become_negative() {
        assert_eq!(Monotonic(5).since(Monotonic(9)), Millis(0));
        assert_eq!(Monotonic(9) - Monotonic(5), Millis(4));
        assert_eq!(Timestamp(5).since(Timestamp(9)), Millis(0));
        assert_eq!(Timestamp(i64::MIN).since(Timestamp(i64::MAX)), Millis(0));
        assert_eq!(Monotonic(u64::MAX).after(Millis(1)), Monotonic(u64::MAX));
    }

    #[test]
    fn a_round_trip_time_saturates() {
        assert_eq!(Micros::from(std::time::Duration::from_millis(2)), Micros(2_000));
        assert_eq!(Micros::from(std::time::Duration::from_hours(2)), Micros(u32::MAX));
    }
}
