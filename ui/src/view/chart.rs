//! A line chart over real time, in which a gap in the data is a gap in the line.

use sentinel_model::{LatencyPoint, Micros, Millis, Timestamp};
use std::fmt::Write;

/// The smallest span of the vertical axis, in milliseconds, so that small jitter looks small.
const MIN_SPAN: f64 = 4.0;

/// The share of the span that is added above and below.
const MARGIN: f64 = 0.12;

/// The time range and size of a chart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    /// The time at the left edge.
    pub from: Timestamp,
    /// The time at the right edge.
    pub until: Timestamp,
    /// Points further apart than this are not joined.
    pub gap: Millis,
    /// The width in units of the drawing.
    pub width: f64,
    /// The height in units of the drawing.
    pub height: f64,
}

/// A drawn chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// The SVG path. A point with gaps on both sides is a line of length zero, which a round cap
    /// turns into a dot.
    pub path: String,
    /// The height of the baseline, in units of the drawing.
    pub baseline: Option<f64>,
    /// The value at the bottom, in milliseconds.
    pub low: f64,
    /// The value at the top, in milliseconds.
    pub high: f64,
}

/// Draws the points within the frame.
pub fn draw_chart(points: &[LatencyPoint], baseline: Option<Micros>, frame: Frame) -> Chart {
    let shown: Vec<&LatencyPoint> =
        points.iter().filter(|point| (frame.from..=frame.until).contains(&point.at)).collect();
    let usual = baseline.map(Micros::as_millis_f64);
    let (low, high) = range(shown.iter().map(|point| point.rtt.as_millis_f64()).chain(usual));
    let span = float(frame.until.since(frame.from)).max(1.0);
    let x = |at: Timestamp| float(at.since(frame.from)) / span * frame.width;
    let y = |value: f64| frame.height - (value - low) / (high - low) * frame.height;
    let mut path = String::new();
    let mut previous: Option<Timestamp> = None;
    for point in shown {
        let joined = previous.is_some_and(|before| point.at.since(before) <= frame.gap);
        let (x, y) = (x(point.at), y(point.rtt.as_millis_f64()));
        let pen = if joined { "L" } else { "M" };
        // Writing to a string cannot fail.
        let _ = write!(path, "{pen}{x:.1} {y:.1}");
        if !joined {
            path.push_str("h0");
        }
        previous = Some(point.at);
    }
    Chart { path, baseline: usual.map(y), low, high }
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if low > high {
        return (0.0, MIN_SPAN);
    }
    let span = (high - low).max(MIN_SPAN);
    let middle = f64::midpoint(low, high);
    let half = span * (0.5 + MARGIN);
    let bottom = (middle - half).max(0.0);
    (bottom, bottom + 2.0 * half)
}

/// Converts a duration; it saturates at 49 days, far beyond any chart.
fn float(span: Millis) -> f64 {
    f64::from(u32::try_from(span.0).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::samples::latency;

    fn frame(until: i64) -> Frame {
        Frame { from: Timestamp(0), until: Timestamp(until), gap: Millis(2_500), width: 100.0, height: 10.0 }
    }

    fn path(points: &[(i64, u32)], until: i64) -> String {
        draw_chart(&latency("a", points).points, None, frame(until)).path
    }

    #[test]
    fn a_gap_in_the_data_is_a_gap_in_the_line() {
        let steady = path(&[(0, 20_000), (1_000, 20_000), (2_000, 20_000)], 10_000);
        assert_eq!(steady.matches('M').count(), 1);
        assert_eq!(steady.matches('L').count(), 2);
        let broken = path(&[(0, 20_000), (1_000, 20_000), (6_000, 20_000)], 10_000);
        assert_eq!(broken.matches('M').count(), 2);
        assert_eq!(broken.matches('L').count(), 1);
    }

    #[test]
    fn the_axis_is_real_time() {
        let drawn = path(&[(2_500, 20_000), (5_000, 20_000)], 10_000);
        assert!(drawn.starts_with("M25.0 5.0h0L50.0 5.0"), "{drawn}");
    }

    #[test]
    fn points_outside_the_frame_are_left_out_and_no_points_make_an_empty_path() {
        assert_eq!(path(&[(20_000, 20_000)], 10_000), "");
        let empty = draw_chart(&[], None, frame(10_000));
        assert!(empty.path.is_empty() && empty.high > empty.low);
    }

    #[test]
    fn small_jitter_stays_small_and_a_shorter_round_trip_is_drawn_lower() {
        let quiet = draw_chart(&latency("a", &[(0, 20_000), (1_000, 20_100)]).points, None, frame(10_000));
        assert!(quiet.high - quiet.low >= MIN_SPAN);
        let drop = draw_chart(&latency("a", &[(0, 5_000)]).points, Some(Micros(40_000)), frame(10_000));
        assert!(drop.baseline.is_some_and(|y| y < 5.0), "{drop:?}");
        assert!(drop.low >= 0.0);
    }
}
