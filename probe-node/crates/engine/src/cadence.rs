//! When the next beacon, the next round and the next look at the socket table are due.

use sentinel_model::{Millis, Moment, Monotonic, Pause, Timestamp};

/// The shortest time between two starts of a beacon, however many triggers request one.
///
/// It bounds the cost of a flapping network and fits into the detection budget.
const BEACON_FLOOR: Millis = Millis(100);

/// The shortest time between two starts of a round.
pub(crate) const ROUND_FLOOR: Millis = Millis(1000);

/// The time between two looks at the socket table.
///
/// A jitter of zero shortens it by a tenth, so that a program is found within five seconds.
const SOCKETS_INTERVAL: Millis = Millis::secs(5);

/// The shortest time between two looks at the socket table.
const SOCKETS_FLOOR: Millis = Millis(1000);

/// When a requested beacon is repeated, counted from its first start.
///
/// Without the repetitions one lost packet would delay detection until the next regular beacon.
const BURST: [Millis; 2] = [Millis(100), Millis(300)];

/// How often a requested beacon is repeated.
pub(crate) const BURST_REPEATS: usize = BURST.len();

/// Decides when beacons, rounds and looks at the socket table start, and whether they are paused.
#[derive(Debug)]
pub(crate) struct Cadence {
    pub(crate) beacon: Timer,
    pub(crate) round: Timer,
    pub(crate) sockets: Timer,
    pause: Option<RunningPause>,
}

/// A pause that has begun.
#[derive(Clone, Copy, Debug)]
struct RunningPause {
    /// The end as it was asked for, on the wall clock.
    asked: Pause,
    /// When it ends. Setting the wall clock changes nothing about it.
    ends: Option<Monotonic>,
}

/// How far the clocks may drift apart before the end of a pause is shown anew.
const SHOWN_PRECISION: Millis = Millis::secs(1);

impl Cadence {
    /// Creates a cadence in which everything is due at once.
    pub(crate) fn new(beacon_interval: Millis, round_interval: Millis, now: Monotonic) -> Self {
        Self {
            beacon: Timer::new(beacon_interval, BEACON_FLOOR, now),
            round: Timer::new(round_interval, ROUND_FLOOR, now),
            sockets: Timer::new(SOCKETS_INTERVAL, SOCKETS_FLOOR, now),
            pause: None,
        }
    }

    /// Returns when the next start is due.
    pub(crate) fn next_due(&self) -> Monotonic {
        self.beacon.due().min(self.round.due()).min(self.sockets.due())
    }

    /// Requests a beacon and a round as soon as their floors allow, unless paused.
    pub(crate) fn request(&mut self, now: Monotonic) {
        if self.pause.is_none() {
            self.beacon.request(now);
            self.round.request(now);
        }
    }

    /// Requests a look at the socket table as soon as its floor allows, unless paused.
    pub(crate) fn request_sockets(&mut self, now: Monotonic) {
        if self.pause.is_none() {
            self.sockets.request(now);
        }
    }

    /// Requests a burst of beacons and a round as soon as their floors allow, unless paused.
    pub(crate) fn request_burst(&mut self, now: Monotonic) {
        if self.pause.is_none() {
            self.beacon.request_burst(now);
            self.round.request(now);
        }
    }

    /// Requests one beacon and one round, even while paused: the user asked for them.
    pub(crate) fn request_despite_pause(&mut self, now: Monotonic) {
        self.beacon.request(now);
        self.round.request(now);
    }

    /// Returns the current pause, its end as the wall clock will show it.
    pub(crate) fn pause(&self, now: Moment) -> Option<Pause> {
        self.pause.map(|RunningPause { asked, ends }| {
            let until = asked.until.zip(ends).map(|(asked, ends)| {
                let left = i64::try_from(ends.since(now.boot).0).unwrap_or(i64::MAX);
                let expected = Timestamp(now.wall.0.saturating_add(left));
                if asked.0.abs_diff(expected.0) < SHOWN_PRECISION.0 { asked } else { expected }
            });
            Pause { until }
        })
    }

    /// Returns true if measuring is paused.
    pub(crate) fn is_paused(&self) -> bool {
        self.pause.is_some()
    }

    /// Returns true if measuring is paused for a time that has passed.
    pub(crate) fn is_pause_over(&self, now: Monotonic) -> bool {
        self.pause.and_then(|pause| pause.ends).is_some_and(|ends| ends <= now)
    }

    /// Pauses until the given time, or until resumed if there is none.
    ///
    /// The time left is taken from the wall clock once, and measured by the boot clock after that.
    pub(crate) fn start_pause(&mut self, asked: Pause, now: Moment) {
        let ends = asked.until.map(|until| now.boot.after(until.since(now.wall)));
        self.pause = Some(RunningPause { asked, ends });
        self.hold_if_paused();
    }

    /// Ends the pause and requests a beacon and a round.
    pub(crate) fn end_pause(&mut self, now: Monotonic) {
        self.pause = None;
        self.request(now);
        self.sockets.request(now);
    }

    /// Postpones everything for the rest of the pause, if there is one.
    pub(crate) fn hold_if_paused(&mut self) {
        if self.is_paused() {
            self.beacon.hold();
            self.round.hold();
            self.sockets.hold();
        }
    }
}

/// One recurring measurement: due at every interval, sooner on request, never twice within the
/// floor.
#[derive(Debug)]
pub(crate) struct Timer {
    interval: Millis,
    floor: Millis,
    last_start: Option<Monotonic>,
    due: Monotonic,
    repeats: Vec<Monotonic>,
}

impl Timer {
    fn new(interval: Millis, floor: Millis, now: Monotonic) -> Self {
        Self { interval, floor, last_start: None, due: now, repeats: Vec::new() }
    }

    /// Returns when the next start is due.
    pub(crate) fn due(&self) -> Monotonic {
        self.due
    }

    /// Requests a start as soon as the floor allows.
    pub(crate) fn request(&mut self, now: Monotonic) {
        let earliest = self.last_start.map_or(now, |start| start.after(self.floor));
        self.due = self.due.min(earliest.max(now));
    }

    /// Requests a start as soon as the floor allows, and a few repetitions shortly after.
    fn request_burst(&mut self, now: Monotonic) {
        self.request(now);
        self.repeats = BURST.map(|later| self.due.after(later)).to_vec();
    }

    /// Records a start and plans the next one.
    ///
    /// `jitter` is any number. It moves the next start by up to a tenth of the interval either way,
    /// so that nodes do not fall into step.
    pub(crate) fn record_start(&mut self, now: Monotonic, jitter: u32) {
        let tenth = self.interval.0 / 10;
        let offset = u64::from(jitter) % (2 * tenth + 1);
        self.last_start = Some(now);
        self.due = now.after(Millis(self.interval.0 - tenth + offset));
        self.repeats.retain(|repeat| *repeat > now);
        if let Some(repeat) = self.repeats.first() {
            self.due = self.due.min(*repeat);
        }
    }

    /// Plans the next start without recording one now, because an earlier one is still running.
    pub(crate) fn skip(&mut self, now: Monotonic) {
        self.due = now.after(self.interval);
    }

    /// Postpones the next start until it is requested.
    fn hold(&mut self) {
        self.due = Monotonic(u64::MAX);
        self.repeats.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beacon() -> Timer {
        Timer::new(Millis::secs(1), BEACON_FLOOR, Monotonic(0))
    }

    #[test]
    fn a_requested_start_comes_at_once_but_never_within_the_floor() {
        let mut timer = beacon();
        timer.record_start(Monotonic(0), 0);
        assert_eq!(timer.due(), Monotonic(900));
        timer.request(Monotonic(10));
        assert_eq!(timer.due(), Monotonic(100));
        timer.record_start(Monotonic(100), u32::MAX);
        timer.request(Monotonic(500));
        assert_eq!(timer.due(), Monotonic(500));
    }

    #[test]
    fn a_burst_repeats_twice_and_then_the_interval_applies_again() {
        let mut timer = beacon();
        timer.record_start(Monotonic(0), 0);
        timer.request_burst(Monotonic(500));
        let mut starts = Vec::new();
        while timer.due() < Monotonic(2000) {
            starts.push(timer.due().0);
            timer.record_start(timer.due(), 0);
        }
        assert_eq!(starts, [500, 600, 800, 1700]);
        timer.request_burst(Monotonic(2000));
        timer.hold();
        assert_eq!(timer.due(), Monotonic(u64::MAX));
        timer.request(Monotonic(3000));
        timer.record_start(Monotonic(3000), 0);
        assert_eq!(timer.due(), Monotonic(3900), "holding discards the rest of a burst");
    }

    #[test]
    fn jitter_moves_a_start_by_a_tenth_of_the_interval_at_most() {
        for jitter in [0, 1, 99, 100, 200, 201, u32::MAX] {
            let mut timer = Timer::new(Millis::secs(1), ROUND_FLOOR, Monotonic(0));
            timer.record_start(Monotonic(0), jitter);
            assert!((900..=1100).contains(&timer.due().0), "{jitter} gave {:?}", timer.due());
        }
    }

    #[test]
    fn nothing_is_due_during_a_pause_except_what_the_user_asks_for() {
        let mut cadence = Cadence::new(Millis::secs(1), Millis::secs(30), Monotonic(0));
        let now = Moment { boot: Monotonic(100), wall: Timestamp(1_000_100) };
        cadence.start_pause(Pause { until: Some(Timestamp(1_005_000)) }, now);
        cadence.request(Monotonic(100));
        cadence.request_burst(Monotonic(200));
        assert_eq!(cadence.next_due(), Monotonic(u64::MAX));
        cadence.request_despite_pause(Monotonic(300));
        assert_eq!(cadence.next_due(), Monotonic(300));
        cadence.hold_if_paused();
        assert_eq!(cadence.next_due(), Monotonic(u64::MAX));
        assert!(!cadence.is_pause_over(Monotonic(4_999)) && cadence.is_pause_over(Monotonic(5_000)));
        cadence.end_pause(Monotonic(400));
        assert!(!cadence.is_paused());
        assert_eq!(cadence.next_due(), Monotonic(400));
    }

    #[test]
    fn the_end_of_a_pause_follows_the_wall_clock_only_in_what_is_shown() {
        let mut cadence = Cadence::new(Millis::secs(1), Millis::secs(30), Monotonic(0));
        let at = |boot, wall| Moment { boot: Monotonic(boot), wall: Timestamp(wall) };
        cadence.start_pause(Pause { until: Some(Timestamp(60_000)) }, at(0, 0));
        let shown = |now| cadence.pause(now).and_then(|pause| pause.until);
        assert_eq!(shown(at(10_000, 10_003)), Some(Timestamp(60_000)), "the clocks tick apart");
        assert_eq!(shown(at(10_000, -3_590_000)), Some(Timestamp(-3_540_000)));
        assert!(!cadence.is_pause_over(Monotonic(59_999)) && cadence.is_pause_over(Monotonic(60_000)));
        cadence.start_pause(Pause { until: Some(Timestamp(0)) }, at(5, 5));
        assert!(cadence.is_pause_over(Monotonic(5)), "a time that has passed");
        cadence.start_pause(Pause { until: None }, at(5, 5));
        assert!(!cadence.is_pause_over(Monotonic(u64::MAX)));
        assert_eq!(cadence.pause(at(6, 6)), Some(Pause { until: None }));
    }
}
