//! The detectors of latency drops that are compared: the judge's own and three others.

use std::collections::VecDeque;

/// The smallest drop that counts, for the other detectors.
pub(crate) const DROP: f64 = 0.20;
/// Number of samples from which the other detectors learn a baseline.
const WARM_UP: usize = 20;

/// A detector of drops in round-trip times.
pub(crate) trait DropDetector {
    /// Processes a round trip in milliseconds. Returns true once per detected drop.
    fn push(&mut self, rtt: f64) -> bool;
}

/// The judge's detector.
pub(crate) struct JudgeDetector(sentinel_judge::latency::Detector);

impl JudgeDetector {
    pub(crate) fn new() -> Self {
        Self(sentinel_judge::latency::Detector::new(sentinel_judge::latency::Params::default()))
    }
}

impl DropDetector for JudgeDetector {
    fn push(&mut self, rtt: f64) -> bool {
        let rtt = std::time::Duration::try_from_secs_f64(rtt / 1000.0).unwrap_or_default();
        self.0.push(sentinel_model::Moment::default(), rtt.into()).is_some()
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

/// A fixed threshold: four fifths of the median of the first samples.
#[derive(Default)]
pub(crate) struct FixedThreshold {
    first: Vec<f64>,
    edge: RisingEdge,
}

impl DropDetector for FixedThreshold {
    fn push(&mut self, rtt: f64) -> bool {
        if self.first.len() < WARM_UP {
            self.first.push(rtt);
            return false;
        }
        self.edge.rises(rtt < median(&self.first) * (1.0 - DROP))
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
        self.samples.push_back(rtt);
        if self.samples.len() < 12 {
            return false;
        }
        if self.samples.len() > 12 {
            self.samples.pop_front();
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
