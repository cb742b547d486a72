//! Limits how often each public service is contacted.
//!
//! A service is asked in every round while rounds are rare, but not every second when a flapping
//! network triggers round after round. A service that refuses is left alone for a while.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How many rounds in a row may ask a service.
const BURST: u32 = 6;
/// How often the allowance grows by one round.
const REFILL: Duration = Duration::from_secs(4);

/// A token bucket per service, by the service's name. It has as many entries as there are services.
#[derive(Debug, Default)]
pub(crate) struct RateLimiter {
    services: Mutex<HashMap<String, Allowance>>,
}

#[derive(Clone, Copy, Debug)]
struct Allowance {
    remaining: u32,
    refilled_at: Instant,
    backing_off_until: Option<Instant>,
}

impl RateLimiter {
    /// Returns true if the service may be asked in a round that starts now, and counts that round.
    pub(crate) fn may_ask(&self, service: &str, now: Instant) -> bool {
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        let allowance = services.entry(service.to_owned()).or_insert(Allowance::full(now));
        allowance.refill(now);
        if allowance.backing_off_until.is_some_and(|until| until > now) || allowance.remaining == 0 {
            return false;
        }
        allowance.remaining -= 1;
        true
    }

    /// Leaves the service alone until the given time.
    pub(crate) fn back_off(&self, service: &str, until: Instant) {
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        let full = Allowance::full(Instant::now());
        services.entry(service.to_owned()).or_insert(full).backing_off_until = Some(until);
    }
}

impl Allowance {
    fn full(now: Instant) -> Self {
        Self { remaining: BURST, refilled_at: now, backing_off_until: None }
    }

    fn refill(&mut self, now: Instant) {
        while self.remaining < BURST && now.saturating_duration_since(self.refilled_at) >= REFILL {
            self.remaining += 1;
            self.refilled_at += REFILL;
        }
        if self.remaining == BURST {
            self.refilled_at = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_service_is_asked_in_every_usual_round_and_spared_when_they_come_every_second() {
        let (limiter, start) = (RateLimiter::default(), Instant::now());
        assert!((0..100).all(|round| limiter.may_ask("stun", start + 5 * SECOND * round)));
        let start = start + 1000 * SECOND;
        let asked = (0..60).filter(|round| limiter.may_ask("stun", start + SECOND * *round)).count();
        assert!((18..=21).contains(&asked), "{asked} of 60");
        assert!(limiter.may_ask("another", start));
    }

    #[test]
    fn a_service_that_refused_is_left_alone_until_its_time_is_over() {
        let (limiter, now) = (RateLimiter::default(), Instant::now());
        limiter.back_off("echo", now + 60 * SECOND);
        assert!(!limiter.may_ask("echo", now + 59 * SECOND));
        assert!(limiter.may_ask("echo", now + 60 * SECOND));
    }
}
