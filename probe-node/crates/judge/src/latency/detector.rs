//! Notices when a path becomes faster than it has ever been; one detector per path.
//!
//! A queue, a busy radio or another client lengthens a round trip, and nothing shortens it but a
//! shorter path. The detector therefore compares low values:
//! - the *level*, which is the second lowest of the latest three samples;
//! - the *lowest level*, which is the lowest that the fifth percentile of the last sixty accepted
//!   samples has ever been.
//!
//! The path has dropped when the level is below the lowest level by at least two thirds of the
//! smallest drop that is to be found. The remaining third is for jitter, which lifts the level more
//! than the lowest level.
//!
//! - One stray sample decides nothing. A few of them among sixty do not move the lowest level;
//!   more do, so that a path which keeps alternating is learned.
//! - A path that returns to where it has been before has not dropped: a full line is free again.
//! - While a drop is reported, no sample is accepted. It ends when the path slows down again. After
//!   five minutes the level of the drop becomes the lowest level: the path has a new normal, and
//!   the next drop is detected from there.

use crate::bounded::push_bounded;
use sentinel_model::{Micros, Millis, Moment};
use std::collections::VecDeque;

/// How many of the latest samples make the level.
const LATEST: usize = 3;
/// How many accepted samples are kept.
const KEPT: usize = 60;
/// How many accepted samples the first lowest level needs.
const WARM_UP: usize = 20;
/// One in how many accepted samples may be lower than the lowest level: the fifth percentile.
const LOWER: usize = 20;
/// The share of the smallest drop by which the level must be below the lowest level.
const FOUND: f64 = 2.0 / 3.0;
/// The share of the smallest drop from which the path counts as slow again.
const BACK: f64 = 1.0 / 3.0;
/// How far a level must fall at the least, because a busy machine delays its own packets by as
/// much.
const MARGIN: Micros = Micros(2_000);
/// How long a drop is reported before it is the new normal.
const REPORTED: Millis = Millis::secs(300);

/// The detector's parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Params {
    /// The smallest drop that is to be found, as a share of the round trip.
    pub drop: f64,
}

impl Default for Params {
    fn default() -> Self {
        Self { drop: 0.15 }
    }
}

/// A path that became faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drop {
    /// When it was noticed.
    pub at: Moment,
    /// The usual round trip before.
    pub baseline: Micros,
    /// The level at which it was noticed.
    pub level: Micros,
}

/// Watches the round trips of one path.
#[derive(Clone, Debug)]
pub struct Detector {
    params: Params,
    latest: VecDeque<Micros>,
    accepted: VecDeque<Micros>,
    lowest: Option<Micros>,
    drop: Option<Drop>,
    frozen: bool,
}

impl Detector {
    /// Creates a detector without samples.
    pub fn new(params: Params) -> Self {
        Self {
            params,
            latest: VecDeque::with_capacity(LATEST),
            accepted: VecDeque::with_capacity(KEPT),
            lowest: None,
            drop: None,
            frozen: false,
        }
    }

    /// Processes one sample. Returns a drop when the path has just become faster, once per drop.
    pub fn push(&mut self, now: Moment, rtt: Micros) -> Option<Drop> {
        push_bounded(&mut self.latest, rtt, LATEST);
        if self.frozen {
            return None;
        }
        let Some(lowest) = self.lowest else {
            self.accept(rtt);
            return None;
        };
        let level = nth_lowest(&self.latest, 1)?;
        self.drop = self.drop.filter(|_| self.is_below(level, lowest, BACK));
        if let Some(drop) = self.drop.take_if(|drop| now.boot.since(drop.at.boot) > REPORTED) {
            self.lowest = Some(drop.level);
            self.accepted = VecDeque::from([drop.level]);
        }
        // A further drop is measured from the level of the one that is reported.
        let reference = self.drop.map(|drop| drop.level).or(self.lowest)?;
        if self.is_below(level, reference, FOUND) && reference.0.saturating_sub(level.0) >= MARGIN.0 {
            self.drop = self.baseline().map(|baseline| Drop { at: now, baseline, level });
            return self.drop;
        }
        if self.drop.is_none() {
            self.accept(rtt);
        }
        None
    }

    /// Accepts a sample as one of the path as it should be.
    fn accept(&mut self, rtt: Micros) {
        push_bounded(&mut self.accepted, rtt, KEPT);
        if self.lowest.is_some() || self.accepted.len() >= WARM_UP {
            let low = nth_lowest(&self.accepted, self.accepted.len() / LOWER);
            self.lowest = self.lowest.into_iter().chain(low).min();
        }
    }

    /// Returns true if a level is lower than another by a share of the smallest drop.
    fn is_below(&self, level: Micros, other: Micros, share: f64) -> bool {
        f64::from(level.0) <= f64::from(other.0) * (1.0 - self.params.drop * share)
    }

    /// Returns the drop that is being reported.
    pub fn drop(&self) -> Option<Drop> {
        self.drop
    }

    /// Returns true if enough samples were accepted to judge by.
    pub fn is_ready(&self) -> bool {
        !self.frozen && self.lowest.is_some()
    }

    /// Returns the usual round trip, once enough samples were accepted: their median, from before
    /// the reported drop.
    pub fn baseline(&self) -> Option<Micros> {
        self.lowest.and_then(|_| nth_lowest(&self.accepted, self.accepted.len() / 2))
    }

    /// Stops or resumes judging. While frozen, the lowest level and the baseline stay as they are.
    ///
    /// Freezing ends a reported drop.
    pub fn freeze(&mut self, frozen: bool) {
        self.frozen = frozen;
        if frozen {
            self.drop = None;
            self.latest.clear();
        }
    }
}

/// Returns a sample by its rank, from zero for the lowest.
fn nth_lowest(samples: &VecDeque<Micros>, rank: usize) -> Option<Micros> {
    let mut sorted: Vec<Micros> = samples.iter().copied().collect();
    sorted.sort_unstable();
    sorted.get(rank).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::{Monotonic, Timestamp};

    /// A detector that is fed one sample a second.
    struct Path {
        detector: Detector,
        second: u64,
    }

    impl Path {
        fn new(drop: f64) -> Self {
            Self { detector: Detector::new(Params { drop }), second: 0 }
        }

        /// A detector that has learned a level of 80 ms.
        fn learned(drop: f64) -> Self {
            let mut path = Self::new(drop);
            assert!(path.feed(steady(80_000, 2, 60)).is_empty());
            path
        }

        /// Returns after which samples a drop was noticed, from one.
        fn feed(&mut self, samples: impl IntoIterator<Item = u32>) -> Vec<u32> {
            let mut noticed = Vec::new();
            for (rtt, nth) in samples.into_iter().zip(1..) {
                self.second += 1;
                let now = Moment { boot: Monotonic(self.second * 1_000), wall: Timestamp(0) };
                noticed.extend(self.detector.push(now, Micros(rtt)).map(|_| nth));
            }
            noticed
        }
    }

    /// Round trips from a level upwards, with a deterministic jitter of at most `share` percent.
    fn steady(level: u32, share: u32, count: u32) -> impl Iterator<Item = u32> {
        (0..count).map(move |i| level + (i * 7919 % 101) * (level / 10_000 * share))
    }

    #[test]
    fn a_drop_is_found_with_its_second_sample_and_reported_once() {
        for level in [40_000, 56_000, 68_000] {
            assert_eq!(Path::learned(0.15).feed(steady(level, 2, 200)), [2], "{level}");
        }
        let mut path = Path::learned(0.15);
        path.feed([40_000, 41_000]);
        let drop = path.detector.drop().unwrap();
        assert_eq!((drop.level, drop.at.boot), (Micros(41_000), Monotonic(62_000)));
        assert!((80_000..82_000).contains(&drop.baseline.0), "{drop:?}");
    }

    #[test]
    fn a_late_answer_delays_the_detection_by_one_sample() {
        assert_eq!(Path::learned(0.15).feed([56_000, 90_000, 56_000]), [3]);
        assert_eq!(Path::learned(0.15).feed([90_000, 56_000, 56_000]), [3]);
        assert_eq!(Path::learned(0.15).feed([56_000, 90_000, 90_000, 56_000]), []);
    }

    #[test]
    fn a_steady_a_slower_and_a_slightly_faster_path_raise_nothing() {
        let mut path = Path::new(0.15);
        for level in [80_000, 120_000, 80_000, 75_000] {
            assert_eq!(path.feed(steady(level, 4, 120)), [], "{level}");
        }
    }

    #[test]
    fn jitter_of_twice_the_round_trip_raises_nothing() {
        let mut path = Path::new(0.15);
        let jittery = (0u32..5_000).map(|i| 40_000 + i.wrapping_mul(2_654_435_761) % 80_000);
        assert_eq!(path.feed(jittery), []);
    }

    #[test]
    fn a_few_stray_samples_neither_alarm_nor_hide_a_drop() {
        let mut path = Path::learned(0.15);
        for _ in 0..6 {
            assert_eq!(path.feed(std::iter::once(1).chain(steady(80_000, 2, 29))), []);
        }
        assert_eq!(path.feed([60_000, 60_000]), [2]);
    }

    #[test]
    fn a_path_that_keeps_alternating_is_learned() {
        let mut path = Path::learned(0.15);
        let mut alternate = || path.feed((0..300).map(|i| if i % 10 < 3 { 60_000 } else { 80_000 })).len();
        assert!((1..=4).contains(&alternate()));
        assert_eq!(alternate(), 0);
    }

    #[test]
    fn the_smallest_drop_is_a_setting() {
        for (smallest, found) in [(0.15, vec![]), (0.10, vec![2])] {
            assert_eq!(Path::learned(smallest).feed(steady(73_000, 0, 30)), found, "{smallest}");
        }
    }

    #[test]
    fn less_than_two_milliseconds_are_no_drop() {
        for (before, after, found) in [(8_000, 6_001, vec![]), (8_000, 6_000, vec![2])] {
            let mut path = Path::new(0.15);
            path.feed(steady(before, 0, 60));
            assert_eq!(path.feed(steady(after, 0, 10)), found, "{after}");
        }
    }

    #[test]
    fn nothing_is_judged_before_twenty_samples() {
        for (learned, ready) in [(19, false), (20, true)] {
            let mut path = Path::new(0.15);
            path.feed(steady(80_000, 2, learned));
            assert_eq!(path.detector.is_ready(), ready, "{learned}");
            assert_eq!(path.detector.baseline().is_some(), ready, "{learned}");
        }
    }

    #[test]
    fn a_drop_ends_when_the_path_slows_down_and_the_next_one_is_found() {
        let mut path = Path::learned(0.15);
        for _ in 0..3 {
            assert_eq!(path.feed(steady(60_000, 2, 8)), [2]);
            assert!(path.detector.drop().is_some());
            path.feed(steady(80_000, 2, 3));
            assert_eq!(path.detector.drop(), None);
        }
    }

    #[test]
    fn a_drop_ends_within_a_third_of_the_smallest_drop_and_not_before() {
        for (level, ended) in [(72_001, false), (75_999, false), (76_001, true)] {
            let mut path = Path::new(0.15);
            path.feed(steady(80_000, 0, 60));
            path.feed([70_000; 2]);
            path.feed([level; 2]);
            assert_eq!(path.detector.drop().is_none(), ended, "{level}");
        }
    }

    #[test]
    fn the_baseline_is_the_median() {
        let mut path = Path::new(0.15);
        path.feed((0..60).map(|i| 80_000 + i * 100));
        assert_eq!(path.detector.baseline(), Some(Micros(83_000)));
    }

    #[test]
    fn a_return_to_where_the_path_has_been_is_no_drop() {
        let mut path = Path::learned(0.15);
        for _ in 0..2 {
            assert_eq!(path.feed(steady(160_000, 2, 500)), []);
            assert_eq!(path.feed(steady(76_000, 2, 10)), []);
        }
        path.feed(steady(160_000, 2, 500));
        assert_eq!(path.feed(steady(60_000, 2, 10)), [2]);
    }

    #[test]
    fn after_five_minutes_a_drop_is_the_new_normal() {
        let mut path = Path::learned(0.15);
        path.feed(steady(60_000, 0, 302));
        assert!(path.detector.drop().is_some());
        path.feed([60_000]);
        assert_eq!((path.detector.drop(), path.detector.baseline()), (None, Some(Micros(60_000))));
        path.feed(steady(80_000, 2, 100));
        assert_eq!(path.feed(steady(60_000, 2, 100)), [], "the path has been there before");
        assert_eq!(path.feed(steady(45_000, 2, 100)), [2]);
    }

    #[test]
    fn a_drop_in_the_moment_of_the_new_normal_is_found() {
        let mut path = Path::learned(0.15);
        path.feed(steady(60_000, 0, 301));
        assert_eq!(path.feed([45_000; 2]), [2]);
        assert_eq!(path.detector.drop().unwrap().baseline, Micros(60_000));
    }

    #[test]
    fn a_drop_within_a_drop_keeps_the_baseline_from_before_both() {
        let mut path = Path::learned(0.15);
        let before = path.detector.baseline();
        path.feed(steady(60_000, 2, 200));
        assert_eq!(path.feed(steady(40_000, 2, 200)), [2]);
        let drop = path.detector.drop().unwrap();
        assert_eq!((Some(drop.baseline), drop.at.boot), (before, Monotonic(262_000)));
    }

    #[test]
    fn a_sample_from_before_freezing_confirms_none_after_it() {
        let mut path = Path::learned(0.15);
        path.feed([40_000]);
        path.detector.freeze(true);
        path.detector.freeze(false);
        assert_eq!(path.feed([40_000, 80_000, 80_000]), []);
    }

    #[test]
    fn what_was_learned_survives_freezing_and_what_was_suspected_does_not() {
        let mut path = Path::learned(0.15);
        path.feed([40_000, 40_000]);
        let before = path.detector.baseline();
        path.detector.freeze(true);
        assert_eq!((path.detector.drop(), path.detector.is_ready()), (None, false));
        assert_eq!(path.feed(steady(40_000, 2, 60)), []);
        assert_eq!(path.detector.baseline(), before);
        path.detector.freeze(false);
        assert_eq!(path.feed(steady(40_000, 2, 10)), [1]);
    }
}
