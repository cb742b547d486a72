//! Notices when a path becomes suddenly faster: one detector per path.
//!
//! The logarithm of the round trip is compared with a baseline, the median and 1.4826 times the median absolute
//! deviation of the last accepted samples. A one-sided CUSUM over the clipped z-score (Page, Biometrika 1954) says that
//! something changed; the effect guard says that it changed by enough to matter. Both must agree.
//!
//! Where it departs from the plain scheme, and why:
//! - the spread is held between a floor and a cap. The floor keeps a path that never varies from making a big thing of a
//!   fraction of a millisecond; the cap keeps one that varies wildly from hiding a real fall, which the effect guard
//!   alone can then judge;
//! - after an alarm the samples go to a second baseline, which replaces the first once the window is full. A path that
//!   stays faster has a new normal, and the next fall is seen from there.

use sentinel_model::{Micros, Moment};
use std::{collections::VecDeque, time::Duration};

/// How far the CUSUM may rise, in multiples of what it must reach: without a bound a path that has long been a little
/// faster, too little to matter, would leave the effect guard to decide alone for a minute after it is back.
const CEILING: f64 = 2.0;

/// The detector's parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Params {
    /// The effect guard: how far the recent median must lie below the baseline's, as a share of it.
    pub drop: f64,
    /// What the CUSUM forgives per sample, in deviations.
    pub k: f64,
    /// What the CUSUM must reach.
    pub h: f64,
    /// Where the z-score is clipped, so that one wild sample cannot decide: with 4, at least three are needed.
    pub clip: f64,
    /// The smallest deviation assumed, in log units: about that share of the round trip.
    pub spread_floor: f64,
    /// The largest.
    pub spread_cap: f64,
    /// How many accepted samples the baseline is made of.
    pub window: usize,
    /// How many it needs before it may judge.
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

/// Watches one path.
#[derive(Clone, Debug)]
pub struct Detector {
    params: Params,
    baseline: Baseline,
    /// Samples since an alarm; the next baseline.
    successor: Option<VecDeque<f64>>,
    recent: VecDeque<f64>,
    cusum: f64,
    frozen: bool,
}

impl Detector {
    /// A detector that knows nothing yet.
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

    /// Takes one sample; says when the path has just become faster, once per fall.
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
            self.follow(sample);
            return None;
        }
        let z = (sample - self.baseline.median) / self.baseline.spread;
        let cusum = self.cusum - z.clamp(-self.params.clip, self.params.clip) - self.params.k;
        self.cusum = cusum.clamp(0.0, CEILING * self.params.h);
        let level = median(self.recent.iter().copied());
        if self.cusum > self.params.h && level <= self.baseline.median + (1.0 - self.params.drop).ln() {
            let found = Drop { at: now, baseline: micros(self.baseline.median), level: micros(level) };
            self.successor = Some(VecDeque::with_capacity(self.params.window));
            return Some(found);
        }
        self.baseline.accept(sample, &self.params);
        None
    }

    /// After an alarm: either the path slows down again and the old baseline holds, or it has a new one.
    fn follow(&mut self, sample: f64) {
        let level = median(self.recent.iter().copied());
        let back = level > self.baseline.median + (1.0 - self.params.drop / 2.0).ln();
        let Some(successor) = &mut self.successor else { return };
        successor.push_back(sample);
        if back {
            self.successor = None;
            self.cusum = 0.0;
        } else if successor.len() >= self.params.window {
            self.baseline = Baseline::of(std::mem::take(successor), &self.params);
            self.successor = None;
            self.cusum = 0.0;
        }
    }

    /// Whether there is enough of a baseline to judge by.
    pub fn is_ready(&self) -> bool {
        !self.frozen && self.baseline.samples.len() >= self.params.warm_up
    }

    /// The baseline's median, once there is enough of it.
    pub fn baseline(&self) -> Option<Micros> {
        (self.baseline.samples.len() >= self.params.warm_up).then(|| micros(self.baseline.median))
    }

    /// The median of the latest samples.
    pub fn level(&self) -> Option<Micros> {
        (!self.recent.is_empty()).then(|| micros(median(self.recent.iter().copied())))
    }

    /// Keeps the baseline as it is and judges nothing, until told otherwise. Drops what suspicion there was.
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

    /// Two selections over at most a window of samples: constant work.
    fn measure(&mut self, params: &Params) {
        /// Makes the median absolute deviation an estimate of the standard deviation of a normal distribution.
        const NORMAL: f64 = 1.4826;
        self.median = median(self.samples.iter().copied());
        let deviation = median(self.samples.iter().map(|sample| (sample - self.median).abs()));
        self.spread = (NORMAL * deviation).max(params.spread_floor).min(params.spread_cap);
    }
}

fn push_bounded(samples: &mut VecDeque<f64>, sample: f64, bound: usize) {
    samples.push_back(sample);
    while samples.len() > bound.max(1) {
        samples.pop_front();
    }
}

/// The median; the mean of the two in the middle of an even number; 0 of nothing.
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

/// Back from log units.
fn micros(log: f64) -> Micros {
    Duration::try_from_secs_f64(log.exp() / 1e6).map_or(Micros(u32::MAX), Micros::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A deterministic jitter of +-`share`.
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
    fn a_fall_by_a_third_is_found_within_five_samples_and_told_once() {
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
    fn a_long_small_fall_does_not_leave_the_guard_to_decide_alone() {
        let mut detector = Detector::new(Params::default());
        feed(&mut detector, path(80_000, 2, 60));
        // Too little to matter, but a rise of the sum with every sample.
        let mut short = detector.clone();
        feed(&mut detector, path(70_000, 0, 28));
        feed(&mut short, path(70_000, 0, 8));
        for detector in [&mut detector, &mut short] {
            assert!(feed(detector, path(80_000, 2, 8)).is_empty());
            assert!(detector.cusum < 5.0, "{}", detector.cusum);
        }
    }

    #[test]
    fn sensitive_mode_sees_what_the_default_forgives() {
        let mut default = Detector::new(Params::default());
        let mut sensitive = Detector::new(Params { drop: 0.10, ..Params::default() });
        for detector in [&mut default, &mut sensitive] {
            feed(detector, path(80_000, 2, 60));
        }
        assert!(feed(&mut default, path(67_000, 2, 30)).is_empty());
        assert_eq!(feed(&mut sensitive, path(67_000, 2, 30)).len(), 1);
    }

    #[test]
    fn a_new_normal_is_learnt_and_the_next_fall_is_seen_from_there() {
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
