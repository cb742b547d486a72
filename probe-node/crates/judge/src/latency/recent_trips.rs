//! The latest round trips of each target, for the dashboard's chart.

use crate::bounded::{LastUsed, push_bounded};
use sentinel_model::{LatencyPoint, Moment, Monotonic, RoundTrip, Voice};
use std::collections::VecDeque;

/// How many points are shown per target.
const POINTS: usize = 120;

/// The latest round trips of one target.
#[derive(Clone, Debug)]
pub(super) struct RecentTrips {
    pub target: Voice,
    pub points: VecDeque<LatencyPoint>,
    pub last: Moment,
}

impl LastUsed for RecentTrips {
    fn last_used(&self) -> Monotonic {
        self.last.boot
    }
}

impl RecentTrips {
    /// Creates an empty series.
    pub fn new(target: Voice, now: Moment) -> Self {
        Self { target, points: VecDeque::with_capacity(POINTS), last: now }
    }

    /// Appends one round trip.
    pub fn record(&mut self, trip: &RoundTrip, at: Moment) {
        self.last = at;
        push_bounded(&mut self.points, LatencyPoint { at: at.wall, rtt: trip.rtt }, POINTS);
    }
}
