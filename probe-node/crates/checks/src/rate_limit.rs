//! How often public services are asked: in every round while rounds are rare, and no more than they can be expected to
//! bear when a network that flaps asks for one every second. One that says it was asked too often is left alone.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// So many rounds in a row may ask a service ..
const BURST: u32 = 6;
/// .. and then one more each time this has passed.
const REFILL: Duration = Duration::from_secs(4);

/// What each service may still be asked, by its name. There are as many entries as the user has services.
#[derive(Debug, Default)]
pub(crate) struct Courtesy {
    services: Mutex<HashMap<String, Allowance>>,
}

#[derive(Clone, Copy, Debug)]
struct Allowance {
    left: u32,
    /// When the last one was added.
    refilled: Instant,
    resting: Option<Instant>,
}

impl Courtesy {
    /// Whether a service may be asked in a round that begins now; the round is counted.
    pub(crate) fn may_ask(&self, service: &str, now: Instant) -> bool {
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        let allowance = services.entry(service.to_owned()).or_insert(Allowance::full(now));
        allowance.refill(now);
        if allowance.resting.is_some_and(|until| until > now) || allowance.left == 0 {
            return false;
        }
        allowance.left -= 1;
        true
    }

    /// Leaves a service alone until then.
    pub(crate) fn rest(&self, service: &str, until: Instant) {
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        let full = Allowance::full(Instant::now());
        services.entry(service.to_owned()).or_insert(full).resting = Some(until);
    }
}

impl Allowance {
    fn full(now: Instant) -> Self {
        Self { left: BURST, refilled: now, resting: None }
    }

    fn refill(&mut self, now: Instant) {
        while self.left < BURST && now.saturating_duration_since(self.refilled) >= REFILL {
            self.left += 1;
            self.refilled += REFILL;
        }
        if self.left == BURST {
            self.refilled = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_service_is_asked_in_every_usual_round_and_spared_when_they_come_every_second() {
        let (courtesy, began) = (Courtesy::default(), Instant::now());
        assert!((0..100).all(|round| courtesy.may_ask("stun", began + 5 * SECOND * round)));
        let began = began + 1000 * SECOND;
        let asked = (0..60).filter(|round| courtesy.may_ask("stun", began + SECOND * *round)).count();
        assert!((18..=21).contains(&asked), "{asked} of 60");
        assert!(courtesy.may_ask("another", began));
    }

    #[test]
    fn one_that_refused_rests() {
        let (courtesy, now) = (Courtesy::default(), Instant::now());
        courtesy.rest("echo", now + 60 * SECOND);
        assert!(!courtesy.may_ask("echo", now + 59 * SECOND));
        assert!(courtesy.may_ask("echo", now + 60 * SECOND));
    }
}
