//! Times and numbers the way people read them.

use sentinel_model::{Micros, Millis, Timestamp, UtcOffset, humanize};

/// How long ago: `just now`, `2 s ago`, `3 min 20 s ago`.
pub fn ago(now: Timestamp, then: Timestamp) -> String {
    match now.since(then) {
        Millis(..1000) => "just now".into(),
        span => format!("{} ago", humanize(span)),
    }
}

/// How long until: `in 18 s`; nothing once it is due.
pub fn from_now(now: Timestamp, then: Timestamp) -> Option<String> {
    let left = then.since(now);
    // Rounded up, so that a countdown ends at one second and not at nought.
    (left.0 > 0).then(|| format!("in {}", humanize(Millis(left.0.div_ceil(1000) * 1000))))
}

/// Since when: `since 14:02:11` within a day, `for 3 d 4 h` beyond it.
pub fn since(now: Timestamp, then: Timestamp, offset: UtcOffset) -> String {
    then.format_since(now, offset)
}

/// A round trip: one decimal below 100 ms, none above.
pub fn milliseconds(rtt: Micros) -> String {
    let value = rtt.as_millis_f64();
    if value < 99.95 { format!("{value:.1} ms") } else { format!("{value:.0} ms") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp(12 * 3_600_000);

    fn later(milliseconds: i64) -> Timestamp {
        Timestamp(NOON.0 + milliseconds)
    }

    #[test]
    fn an_age_is_never_nought_seconds_and_never_negative() {
        assert_eq!(ago(later(400), NOON), "just now");
        assert_eq!(ago(later(2_300), NOON), "2 s ago");
        assert_eq!(ago(later(200_000), NOON), "3 min 20 s ago");
        assert_eq!(ago(NOON, later(5_000)), "just now");
    }

    #[test]
    fn a_countdown_ends_at_one_second() {
        assert_eq!(from_now(NOON, later(18_000)).as_deref(), Some("in 18 s"));
        assert_eq!(from_now(NOON, later(17_001)).as_deref(), Some("in 18 s"));
        assert_eq!(from_now(NOON, later(1)).as_deref(), Some("in 1 s"));
        assert_eq!(from_now(NOON, NOON), None);
        assert_eq!(from_now(later(1), NOON), None);
    }

    #[test]
    fn a_time_is_to_the_second_within_a_day_and_a_span_beyond() {
        let two_hours_east = UtcOffset(7200);
        assert_eq!(since(later(60_000), NOON, two_hours_east), "since 14:00:00");
        assert_eq!(since(later(273_600_000), NOON, two_hours_east), "for 3 d 4 h");
    }

    #[test]
    fn round_trips_keep_their_width() {
        assert_eq!(milliseconds(Micros(4_210)), "4.2 ms");
        assert_eq!(milliseconds(Micros(24_060)), "24.1 ms");
        assert_eq!(milliseconds(Micros(99_960)), "100 ms");
        assert_eq!(milliseconds(Micros(132_400)), "132 ms");
    }
}
