//! Ages, countdowns and round trips as text.

use sentinel_model::{Micros, Millis, Timestamp, humanize};

/// Formats an age: `just now`, `2 s ago`, `3 min 20 s ago`.
pub fn format_age(now: Timestamp, then: Timestamp) -> String {
    match now.since(then) {
        Millis(..1000) => "just now".into(),
        span => format!("{} ago", humanize(span)),
    }
}

/// Formats the time left: `in 18 s`; `None` once it is due.
pub fn format_countdown(now: Timestamp, then: Timestamp) -> Option<String> {
    let left = then.since(now);
    // Rounded up, so that a countdown ends at one second and not at zero.
    (left.0 > 0).then(|| format!("in {}", humanize(Millis(left.0.div_ceil(1000) * 1000))))
}

/// Formats a round trip: one decimal below 100 ms, none above.
pub fn format_rtt(rtt: Micros) -> String {
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
    fn an_age_is_never_zero_seconds_and_never_negative() {
        assert_eq!(format_age(later(400), NOON), "just now");
        assert_eq!(format_age(later(2_300), NOON), "2 s ago");
        assert_eq!(format_age(later(200_000), NOON), "3 min 20 s ago");
        assert_eq!(format_age(NOON, later(5_000)), "just now");
    }

    #[test]
    fn a_countdown_ends_at_one_second() {
        assert_eq!(format_countdown(NOON, later(18_000)).as_deref(), Some("in 18 s"));
        assert_eq!(format_countdown(NOON, later(17_001)).as_deref(), Some("in 18 s"));
        assert_eq!(format_countdown(NOON, later(1)).as_deref(), Some("in 1 s"));
        assert_eq!(format_countdown(NOON, NOON), None);
        assert_eq!(format_countdown(later(1), NOON), None);
    }

    #[test]
    fn round_trips_have_a_decimal_below_100_ms_only() {
        assert_eq!(format_rtt(Micros(4_210)), "4.2 ms");
        assert_eq!(format_rtt(Micros(24_060)), "24.1 ms");
        assert_eq!(format_rtt(Micros(99_960)), "100 ms");
        assert_eq!(format_rtt(Micros(132_400)), "132 ms");
    }
}
