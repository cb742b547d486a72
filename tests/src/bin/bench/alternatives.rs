//! Other ways to notice that a path became faster, for comparison.

use std::collections::VecDeque;

/// How far a fall must go to count, for every detector alike.
pub(crate) const DROP: f64 = 0.20;
/// What the alternatives learn their notion of normal from, where they need one.
const WARM_UP: usize = 20;

/// Something that takes round trips in milliseconds and says when one tells of a fall. Once per fall.
pub(crate) trait Alarm {
    /// Takes one sample.
    fn push(&mut self, rtt: f64) -> bool;
}

/// The detector of the judge.
pub(crate) struct Ours(sentinel_judge::latency::Detector);

impl Ours {
    pub(crate) fn new() -> Self {
        Self(sentinel_judge::latency::Detector::new(sentinel_judge::latency::Params::default()))
    }
}

impl Alarm for Ours {
    fn push(&mut self, rtt: f64) -> bool {
        let rtt = std::time::Duration::try_from_secs_f64(rtt / 1000.0).unwrap_or_default();
        self.0.push(sentinel_model::Moment::default(), rtt.into()).is_some()
    }
}

/// Remembers whether the last sample alarmed too, so that one fall is one alarm.
#[derive(Default)]
struct Edge(bool);

impl Edge {
    fn rises(&mut self, now: bool) -> bool {
        !std::mem::replace(&mut self.0, now) && now
    }
}

/// A fixed threshold: below four fifths of what the first samples were.
#[derive(Default)]
pub(crate) struct Fixed {
    first: Vec<f64>,
    edge: Edge,
}

impl Alarm for Fixed {
    fn push(&mut self, rtt: f64) -> bool {
        if self.first.len() < WARM_UP {
            self.first.push(rtt);
            return false;
        }
        self.edge.rises(rtt < median(&self.first) * (1.0 - DROP))
    }
}

/// SmokePing's Medratio matcher, 10/2: the median of the last two against that of the ten before.
#[derive(Default)]
pub(crate) struct Medratio {
    samples: VecDeque<f64>,
    edge: Edge,
}

impl Alarm for Medratio {
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

/// An exponentially weighted moving average chart (Roberts 1959) on the logarithm: lambda 0.2, three deviations.
#[derive(Default)]
pub(crate) struct Ewma {
    seen: usize,
    mean: f64,
    variance: f64,
    smoothed: f64,
    edge: Edge,
}

impl Alarm for Ewma {
    fn push(&mut self, rtt: f64) -> bool {
        /// How much the newest sample counts in the chart.
        const LAMBDA: f64 = 0.2;
        /// How much it counts in the slowly moving notion of normal.
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

/// The median of some samples; not a number of none.
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
