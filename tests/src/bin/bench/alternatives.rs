//! The detectors of latency drops that are compared: the judge's own and four others.

use sentinel_model::{Micros, Moment};
use std::{collections::VecDeque, time::Duration};

/// The smallest drop that counts, for the other detectors.
const DROP: f64 = 0.20;
/// Number of samples from which the other detectors learn a baseline.
const WARM_UP: usize = 20;

/// A detector of drops in round-trip times.
pub(crate) trait DropDetector {
    /// Processes a round trip in milliseconds. Returns true once per detected drop.
    fn push(&mut self, rtt: f64) -> bool;
}

/// The judge's detector, which is fed one sample a second.
pub(crate) struct JudgeDetector {
    detector: sentinel_judge::latency::Detector,
    now: Moment,
}

impl JudgeDetector {
    /// Creates a detector that finds drops of a size.
    pub(crate) fn new(drop: f64) -> Self {
        let detector = sentinel_judge::latency::Detector::new(sentinel_judge::latency::Params { drop });
        Self { detector, now: Moment::default() }
    }
}

impl DropDetector for JudgeDetector {
    fn push(&mut self, rtt: f64) -> bool {
        self.now.boot.0 += 1_000;
        let rtt = Duration::try_from_secs_f64(rtt / 1000.0).unwrap_or_default();
        self.detector.push(self.now, Micros::from(rtt)).is_some()
    }
}

/// The judge's former detector: a one-sided CUSUM (Page 1954) of the logarithm and an effect guard.
///
/// The baseline is the median and 1.4826 times the median absolute deviation of the last 60
/// accepted samples. k is 1.5, h is 5, and the guard a fifth.
#[derive(Default)]
pub(crate) struct Cusum {
    baseline: VecDeque<f64>,
    successor: Option<VecDeque<f64>>,
    recent: VecDeque<f64>,
    sum: f64,
}

impl Cusum {
    const WINDOW: usize = 60;

    /// Follows the path after a drop, until it slows down or has a new baseline.
    fn follow_drop(&mut self, sample: f64, level: f64) {
        let is_back = level > median_of(&self.baseline) + (1.0 - DROP / 2.0).ln();
        let Some(successor) = &mut self.successor else { return };
        successor.push_back(sample);
        if !is_back && successor.len() < Self::WINDOW {
            return;
        }
        if !is_back {
            self.baseline = std::mem::take(successor);
        }
        self.successor = None;
        self.sum = 0.0;
    }
}

impl DropDetector for Cusum {
    fn push(&mut self, rtt: f64) -> bool {
        let sample = rtt.max(1e-3).ln();
        push_last(&mut self.recent, sample, 3);
        if self.baseline.len() < WARM_UP {
            self.baseline.push_back(sample);
            return false;
        }
        let level = median_of(&self.recent);
        if self.successor.is_some() {
            self.follow_drop(sample, level);
            return false;
        }
        let center = median_of(&self.baseline);
        let deviations: Vec<f64> = self.baseline.iter().map(|sample| (sample - center).abs()).collect();
        let z = (sample - center) / (1.4826 * median(&deviations)).clamp(0.02, 0.10);
        self.sum = (self.sum - z.clamp(-4.0, 4.0) - 1.5).clamp(0.0, 10.0);
        if self.sum > 5.0 && level <= center + (1.0 - DROP).ln() {
            self.successor = Some(VecDeque::new());
            return true;
        }
        push_last(&mut self.baseline, sample, Self::WINDOW);
        false
    }
}

/// The previous value of a condition, so that consecutive samples below a limit alarm only once.
#[derive(Default)]
struct RisingEdge(bool);

impl RisingEdge {
    /// Returns true if the condition holds now and did not hold before.
    fn rises(&mut self, now: bool) -> bool {
        !std::mem::replace(&mut self.0, now) && now
    }
}

/// A fixed threshold: a share below the median of the first samples.
pub(crate) struct FixedThreshold {
    drop: f64,
    first: Vec<f64>,
    edge: RisingEdge,
}

impl FixedThreshold {
    pub(crate) fn new(drop: f64) -> Self {
        Self { drop, first: Vec::new(), edge: RisingEdge::default() }
    }
}

impl DropDetector for FixedThreshold {
    fn push(&mut self, rtt: f64) -> bool {
        if self.first.len() < WARM_UP {
            self.first.push(rtt);
            return false;
        }
        self.edge.rises(rtt < median(&self.first) * (1.0 - self.drop))
    }
}

/// SmokePing's Medratio matcher, 10/2: compares the median of the last two samples with that of the
/// ten before.
#[derive(Default)]
pub(crate) struct Medratio {
    samples: VecDeque<f64>,
    edge: RisingEdge,
}

impl DropDetector for Medratio {
    fn push(&mut self, rtt: f64) -> bool {
        push_last(&mut self.samples, rtt, 12);
        if self.samples.len() < 12 {
            return false;
        }
        let all: Vec<f64> = self.samples.iter().copied().collect();
        let (historic, current) = all.split_at(10);
        self.edge.rises(median(current) < median(historic) * (1.0 - DROP))
    }
}

/// A chart of the exponentially weighted moving average (Roberts 1959) of the logarithm.
///
/// Lambda is 0.2, and the limit three standard deviations.
#[derive(Default)]
pub(crate) struct Ewma {
    seen: usize,
    mean: f64,
    variance: f64,
    smoothed: f64,
    edge: RisingEdge,
}

impl DropDetector for Ewma {
    fn push(&mut self, rtt: f64) -> bool {
        /// Weight of the newest sample in the chart.
        const LAMBDA: f64 = 0.2;
        /// Weight of the newest sample in the slowly moving baseline.
        const SLOW: f64 = 0.02;
        let sample = rtt.max(1e-3).ln();
        self.seen += 1;
        if self.seen == 1 {
            (self.mean, self.smoothed) = (sample, sample);
        }
        self.smoothed += LAMBDA * (sample - self.smoothed);
        let limit = 3.0 * (self.variance * LAMBDA / (2.0 - LAMBDA)).sqrt();
        let low = self.seen > WARM_UP && self.smoothed < self.mean - limit;
        let weight = if self.seen <= WARM_UP { 0.1 } else { SLOW };
        let deviation = sample - self.mean;
        self.mean += weight * deviation;
        self.variance += weight * (deviation * deviation - self.variance);
        self.edge.rises(low)
    }
}

/// Appends a sample and keeps the last `count`.
fn push_last(samples: &mut VecDeque<f64>, sample: f64, count: usize) {
    samples.push_back(sample);
    if samples.len() > count {
        samples.pop_front();
    }
}

/// Returns the median, or NaN without samples.
fn median_of(samples: &VecDeque<f64>) -> f64 {
    median(&samples.iter().copied().collect::<Vec<_>>())
}

/// Returns the median, or NaN without samples.
pub(crate) fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match (sorted.get(half.wrapping_sub(1)), sorted.get(half)) {
        (Some(low), Some(high)) if sorted.len().is_multiple_of(2) => f64::midpoint(*low, *high),
        (_, Some(middle)) => *middle,
        _ => f64::NAN,
    }
}
