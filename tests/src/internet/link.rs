//! How packets cross the link of one host.

use super::conditions::{Conditions, Direction};
use std::time::Duration;

/// The link of one host, in both directions.
#[derive(Debug)]
pub(super) struct Link {
    up: Conditions,
    down: Conditions,
    random: fastrand::Rng,
}

impl Link {
    /// Creates a link. Its seed and number determine everything random about it.
    pub(super) fn new(conditions: Conditions, seed: u64, number: usize) -> Self {
        let number = u64::try_from(number).unwrap_or_default();
        let random = fastrand::Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(number));
        Self { up: conditions, down: conditions, random }
    }

    pub(super) fn up(&self) -> Conditions {
        self.up
    }

    pub(super) fn change(&mut self, direction: Direction, change: impl Fn(&mut Conditions)) {
        if direction != Direction::Down {
            change(&mut self.up);
        }
        if direction != Direction::Up {
            change(&mut self.down);
        }
    }

    /// Decides how a packet from the host crosses the link; `None` if it is lost.
    pub(super) fn cross_up(&mut self) -> Option<Crossing> {
        cross(self.up, &mut self.random)
    }

    /// Decides how a packet to the host crosses the link; `None` if it is lost.
    pub(super) fn cross_down(&mut self) -> Option<Crossing> {
        cross(self.down, &mut self.random)
    }
}

/// The crossing of one link by one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crossing {
    pub(super) delay: Duration,
    /// Whether the packet must not overtake the one before it.
    pub(super) in_order: bool,
}

fn cross(conditions: Conditions, random: &mut fastrand::Rng) -> Option<Crossing> {
    if conditions.silent || (conditions.loss > 0.0 && random.f64() < conditions.loss) {
        return None;
    }
    if conditions.jitter.is_zero() {
        return Some(Crossing { delay: conditions.delay, in_order: true });
    }
    let extra = conditions.jitter.mul_f64(random.f64());
    Some(Crossing { delay: conditions.delay + extra, in_order: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lossy(seed: u64) -> Vec<bool> {
        let conditions = Conditions { loss: 0.05, ..Conditions::default() };
        let mut link = Link::new(conditions, seed, 3);
        (0..4000).map(|_| link.cross_up().is_some()).collect()
    }

    #[test]
    fn losses_match_the_configured_share_and_repeat_with_the_seed() {
        let arrived = lossy(1).into_iter().filter(|arrived| *arrived).count();
        assert!((3700..3900).contains(&arrived), "{arrived} of 4000 arrived at 5% loss");
        assert_eq!(lossy(1), lossy(1));
        assert_ne!(lossy(1), lossy(2));
    }

    #[test]
    fn one_direction_alone_can_be_silent() {
        let mut link = Link::new(Conditions::delayed(500), 1, 0);
        link.change(Direction::Up, |conditions| conditions.silent = true);
        assert_eq!(link.cross_up(), None);
        assert_eq!(link.cross_down(), Some(Crossing { delay: Duration::from_micros(500), in_order: true }));
    }

    #[test]
    fn jitter_stays_within_its_bounds() {
        let conditions = Conditions { jitter: Duration::from_millis(10), ..Conditions::delayed(2000) };
        let mut link = Link::new(conditions, 1, 0);
        for _ in 0..1000 {
            let crossing = link.cross_down().unwrap();
            assert!(
                crossing.delay >= Duration::from_millis(2) && crossing.delay <= Duration::from_millis(12)
            );
            assert!(!crossing.in_order);
        }
    }
}
