//! Notices when a path becomes suddenly faster; one detector per path.
//!
//! The logarithm of the round trip is compared with a baseline: the median, and 1.4826 times the
//! median absolute deviation, of the last accepted samples. A one-sided CUSUM over the clipped
//! z-score (Page, Biometrika 1954) shows that something changed; the effect guard shows that it
//! changed by enough to matter. Both must agree.
//!
//! Where it departs from the plain scheme, and why:
//! - The spread is held between a floor and a cap. The floor keeps a path that hardly varies from
//!   making much of a fraction of a millisecond. The cap keeps one that varies wildly from hiding a
//!   real drop, which the effect guard alone can then judge.
//! - After an alarm the samples go to a second baseline, which replaces the first once the window
//!   is full. A path that stays faster has a new normal, and the next drop is seen from there.

use crate::bounded::push_bounded;
use sentinel_model::{Micros, Moment};
use std::{collections::VecDeque, time::Duration};

/// How far the CUSUM may rise, in multiples of what it must reach.
///
/// Without a bound, a path that has long been faster by too little to matter would leave the
/// decision to the effect guard alone for a minute after it is back.
const CEILING: f64 = 2.0;

/// The detector's parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Params {
    /// How far the recent median must lie below the baseline's, as a share of it: the effect guard.
    pub drop: f64,
    /// What the CUSUM forgives per sample, in deviations.
    pub k: f64,
    /// What the CUSUM must reach, in deviations.
    pub h: f64,
    /// Where the z-score is clipped, so that no single sample decides; at 4, at least three do.
    pub clip: f64,
    /// The smallest deviation assumed, in log units: about that share of the round trip.
    pub spread_floor: f64,
    /// The largest deviation assumed, in log units.
    pub spread_cap: f64,
    /// How many accepted samples make the baseline.
    pub window: usize,
    /// How many samples the baseline needs before anything is judged by it.
    pub warm_up: usize,
    /// How many of the latest samples the effect guard looks at.
    pub recent: usize,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            drop: 0.20,
            k: 1.5,
            h: 5.0,
            clip: 4.0,
            spread_floor: 0.02,
            spread_cap: 0.10,
            window: 60,
            warm_up: 20,
            recent: 3,
        }
    }
}

/// A path that became faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drop {
    /// When it was noticed.
    pub at: Moment,
    /// The baseline's median before.
    pub baseline: Micros,
    /// The median of the latest samples.
    pub level: Micros,
}

/// Watches the round trips of one path.
#[derive(Clone, Debug)]
pub struct Detector {
    params: Params,
    baseline: Baseline,
    /// The samples since an alarm, which become the next baseline.
    successor: Option<VecDeque<f64>>,
    recent: VecDeque<f64>,
    cusum: f64,
    frozen: bool,
}

impl Detector {
    /// Creates a detector without samples.
    pub fn new(params: Params) -> Self {
        Self {
            params,
            baseline: Baseline::default(),
            successor: None,
            recent: VecDeque::with_capacity(params.recent + 1),
            cusum: 0.0,
            frozen: false,
        }
    }

    /// Takes one sample; returns a drop when the path has just become faster, once per drop.
    pub fn push(&mut self, now: Moment, rtt: Micros) -> Option<Drop> {
        let sample = f64::from(rtt.0.max(1)).ln();
        push_bounded(&mut self.recent, sample, self.params.recent);
        if self.frozen {
            return None;
        }
        if self.baseline.samples.len() < self.params.warm_up {
            self.baseline.accept(sample, &self.params);
            return None;
        }
        if self.successor.is_some() {
            self.follow_drop(sample);
            return None;
        }
        let z = (sample - self.baseline.median) / self.baseline.spread;
        let cusum = self.cusum - z.clamp(-self.params.clip, self.params.clip) - self.params.k;
        self.cusum = cusum.clamp(0.0, CEILING * self.params.h);
        let level = median(self.recent.iter().copied());
        if self.cusum > self.params.h && level <= self.baseline.median + (1.0 - self.params.drop).ln() {
            let drop = Drop { at: now, baseline: to_micros(self.baseline.median), level: to_micros(level) };
            self.successor = Some(VecDeque::with_capacity(self.params.window));
            return Some(drop);
        }
        self.baseline.accept(sample, &self.params);
        None
    }

    /// Follows the path after a drop, until it slows down again or has a new baseline.
    fn follow_drop(&mut self, sample: f64) {
        let level = median(self.recent.iter().copied());
        let is_back = level > self.baseline.median + (1.0 - self.params.drop / 2.0).ln();
        let Some(successor) = &mut self.successor else { return };
        successor.push_back(sample);
        if is_back {
            self.successor = None;
            self.cusum = 0.0;
        } else if successor.len() >= self.params.window {
            self.baseline = Baseline::of(std::mem::take(successor), &self.params);
            self.successor = None;
            self.cusum = 0.0;
        }
    }

    /// Returns true if there is enough of a baseline to judge by.
    pub fn is_ready(&self) -> bool {
        !self.frozen && self.baseline.samples.len() >= self.params.warm_up
    }

    /// Returns the baseline's median, once there is enough of it.
    pub fn baseline(&self) -> Option<Micros> {
        (self.baseline.samples.len() >= self.params.warm_up).then(|| to_micros(self.baseline.median))
    }

    /// Returns the median of the latest samples.
    pub fn level(&self) -> Option<Micros> {
        (!self.recent.is_empty()).then(|| to_micros(median(self.recent.iter().copied())))
    }

    /// Stops or resumes judging; while frozen, the baseline stays as it is.
    ///
    /// Freezing drops what was suspected.
    pub fn freeze(&mut self, frozen: bool) {
        self.frozen = frozen;
        if frozen {
            self.cusum = 0.0;
            self.successor = None;
            self.recent.clear();
        }
    }
}

/// The last accepted samples with their median and spread, in log units.
#[derive(Clone, Debug, Default)]
struct Baseline {
    samples: VecDeque<f64>,
    median: f64,
    spread: f64,
}

impl Baseline {
    fn of(samples: VecDeque<f64>, params: &Params) -> Self {
        let mut baseline = Self { samples, ..Self::default() };
        baseline.measure(params);
        baseline
    }

    fn accept(&mut self, sample: f64, params: &Params) {
        push_bounded(&mut self.samples, sample, params.window);
        self.measure(params);
    }

    /// Measures median and spread: two selections over at most a window of samples.
    fn measure(&mut self, params: &Params) {
        /// Makes the median absolute deviation an estimate of a normal distribution's standard
        /// deviation.
        const NORMAL: f64 = 1.4826;
        self.median = median(self.samples.iter().copied());
        let deviation = median(self.samples.iter().map(|sample| (sample - self.median).abs()));
        self.spread = (NORMAL * deviation).max(params.spread_floor).min(params.spread_cap);
    }
}

/// Returns the median; of an even number, the mean of the two in the middle; of none, zero.
fn median(samples: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = samples.collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match (sorted.get(half.wrapping_sub(1)), sorted.get(half)) {
        (Some(low), Some(high)) if sorted.len().is_multiple_of(2) => f64::midpoint(*low, *high),
        (_, Some(middle)) => *middle,
        _ => 0.0,
    }
}

/// Converts back from log units.
fn to_micros(log: f64) -> Micros {
    Duration::try_from_secs_f64(log.exp() / 1e6).map_or(Micros(u32::MAX), Micros::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Round trips around a level, with a deterministic jitter of `share` percent.
    fn path(level: u32, share: u32, count: u32) -> impl Iterator<Item = Micros> {
        (0..count).map(move |i| {
            let swing = level / 100 * share;
            Micros(level - swing + (i * 7919 % 101) * swing * 2 / 100)
        })
    }

    fn feed(detector: &mut Detector, samples: impl Iterator<Item = Micros>) -> Vec<u32> {
        samples
            .zip(1u32..)
            .filter_map(|(sample, nth)| detector.push(Moment::default(), sample).map(|_| nth))
            .collect()
    }

    #[test]
    fn a_drop_by_a_third_is_found_within_five_samples_and_reported_once() {
        let mut detector = Detector::new(Params::default());
        assert_eq!(feed(&mut detector, path(80_000, 5, 200)), Vec::<u32>::new());
        let alarms = feed(&mut detector, path(53_000, 5, 200));
        assert_eq!(alarms.len(), 1);
        assert!(alarms[0] <= 5, "{alarms:?}");
    }

    #[test]
    fn a_steady_a_slower_and_a_slightly_faster_path_raise_nothing() {
        let mut detector = Detector::new(Params::default());
        for level in [80_000, 120_000, 105_000, 95_000] {
            assert_eq!(feed(&mut detector, path(level, 4, 120)), Vec::<u32>::new(), "{level}");
        }
    }

    #[test]
    fn two_wild_samples_are_not_enough() {
        let mut detector = Detector::new(Params::default());
        feed(&mut detector, path(80_000, 3, 60));
        assert_eq!(feed(&mut detector, [Micros(1), Micros(1)].into_iter()), Vec::<u32>::new());
        assert_eq!(feed(&mut detector, path(80_000, 3, 60)), Vec::<u32>::new());
    }

    #[test]
    fn a_long_small_drop_does_not_leave_the_guard_to_decide_alone() {
        let mut detector = Detector::new(Params::default());
        feed(&mut detector, path(80_000, 2, 60));
        // Too little to matter, but the sum rises with every sample.
        let mut short = detector.clone();
        feed(&mut detector, path(70_000, 0, 28));
        feed(&mut short, path(70_000, 0, 8));
        for detector in [&mut detector, &mut short] {
            assert!(feed(detector, path(80_000, 2, 8)).is_empty());
            assert!(detector.cusum < 5.0, "{}", detector.cusum);
        }
    }

    #[test]
    fn the_sensitive_mode_finds_smaller_drops_than_the_default() {
        let mut default = Detector::new(Params::default());
        let mut sensitive = Detector::new(Params { drop: 0.10, ..Params::default() });
        for detector in [&mut default, &mut sensitive] {
            feed(detector, path(80_000, 2, 60));
        }
        assert!(feed(&mut default, path(67_000, 2, 30)).is_empty());
        assert_eq!(feed(&mut sensitive, path(67_000, 2, 30)).len(), 1);
    }

    #[test]
    fn a_new_normal_is_learned_and_the_next_drop_is_seen_from_there() {
        let mut detector = Detector::new(Params::default());
        for level in [100_000, 70_000, 49_000] {
            let alarms = feed(&mut detector, path(level, 3, 100));
            assert_eq!(alarms.len(), usize::from(level != 100_000), "{level}");
        }
    }

    #[test]
    fn a_frozen_baseline_neither_moves_nor_judges() {
        let mut detector = Detector::new(Params::default());
        feed(&mut detector, path(80_000, 3, 60));
        let before = detector.baseline();
        detector.freeze(true);
        assert!(feed(&mut detector, path(40_000, 3, 60)).is_empty());
        assert_eq!(detector.baseline(), before);
        detector.freeze(false);
        assert_eq!(feed(&mut detector, path(40_000, 3, 10)).len(), 1);
    }
}
