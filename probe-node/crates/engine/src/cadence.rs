//! When the next beacon and the next round are due.

use sentinel_model::{Millis, Monotonic};

/// Between two starts of the same thing, however many triggers ask for it. It bounds what a flapping network can cost,
/// and is short enough to leave the detection budget (300 ms) whole.
const BEACON_FLOOR: Millis = Millis(100);
pub(crate) const ROUND_FLOOR: Millis = Millis(1000);

/// How many beacons are repeated after a sudden need for one.
pub(crate) const REPEATS: usize = BURST.len();

/// When a beacon is repeated after a sudden need for one, counted from the first: a lost packet must not cost the second
/// until the next.
const BURST: [Millis; 2] = [Millis(100), Millis(300)];

/// One recurring measurement: due every `every`, sooner on request, never twice within `floor`.
#[derive(Debug)]
pub(crate) struct Timer {
    every: Millis,
    floor: Millis,
    started: Option<Monotonic>,
    due: Monotonic,
    repeats: Vec<Monotonic>,
}

impl Timer {
    pub(crate) fn beacon(every: Millis, now: Monotonic) -> Self {
        Self { every, floor: BEACON_FLOOR, started: None, due: now, repeats: Vec::new() }
    }

    pub(crate) fn round(every: Millis, now: Monotonic) -> Self {
        Self { every, floor: ROUND_FLOOR, started: None, due: now, repeats: Vec::new() }
    }

    /// When it is due.
    pub(crate) fn due(&self) -> Monotonic {
        self.due
    }

    /// Asks for it as soon as the floor allows.
    pub(crate) fn soon(&mut self, now: Monotonic) {
        let earliest = self.started.map_or(now, |started| started.after(self.floor));
        self.due = self.due.min(earliest.max(now));
    }

    /// Asks for it as soon as the floor allows, and for a few repetitions shortly after.
    pub(crate) fn burst(&mut self, now: Monotonic) {
        self.soon(now);
        self.repeats = BURST.map(|later| self.due.after(later)).to_vec();
    }

    /// Notes that it has started and plans the next one. `jitter` is any number: it moves the next one by up to a tenth,
    /// so that nodes do not fall into step.
    pub(crate) fn started(&mut self, now: Monotonic, jitter: u32) {
        let tenth = self.every.0 / 10;
        let offset = u64::from(jitter) % (2 * tenth + 1);
        self.started = Some(now);
        self.due = now.after(Millis(self.every.0 - tenth + offset));
        self.repeats.retain(|repeat| *repeat > now);
        if let Some(repeat) = self.repeats.first() {
            self.due = self.due.min(*repeat);
        }
    }

    /// Plans the next one without this one having started: one in flight is as good.
    pub(crate) fn skipped(&mut self, now: Monotonic) {
        self.due = now.after(self.every);
    }

    /// Puts it off until it is asked for again.
    pub(crate) fn hold(&mut self) {
        self.due = Monotonic(u64::MAX);
        self.repeats.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_come_soon_but_never_below_the_floor() {
        let mut timer = Timer::beacon(Millis::secs(1), Monotonic(0));
        timer.started(Monotonic(0), 0);
        assert_eq!(timer.due(), Monotonic(900));
        timer.soon(Monotonic(10));
        assert_eq!(timer.due(), Monotonic(100));
        timer.started(Monotonic(100), u32::MAX);
        timer.soon(Monotonic(500));
        assert_eq!(timer.due(), Monotonic(500));
    }

    #[test]
    fn a_burst_repeats_twice_and_then_the_usual_pace_goes_on() {
        let mut timer = Timer::beacon(Millis::secs(1), Monotonic(0));
        timer.started(Monotonic(0), 0);
        timer.burst(Monotonic(500));
        let mut starts = Vec::new();
        while timer.due() < Monotonic(2000) {
            starts.push(timer.due().0);
            timer.started(timer.due(), 0);
        }
        assert_eq!(starts, [500, 600, 800, 1700]);
        timer.burst(Monotonic(2000));
        timer.hold();
        assert_eq!(timer.due(), Monotonic(u64::MAX));
        timer.soon(Monotonic(3000));
        timer.started(Monotonic(3000), 0);
        assert_eq!(timer.due(), Monotonic(3900), "nothing is left of a burst that was called off");
    }

    #[test]
    fn jitter_stays_within_a_tenth() {
        for jitter in [0, 1, 99, 100, 200, 201, u32::MAX] {
            let mut timer = Timer::round(Millis::secs(1), Monotonic(0));
            timer.started(Monotonic(0), jitter);
            assert!((900..=1100).contains(&timer.due().0), "{jitter} gave {:?}", timer.due());
        }
    }
}
