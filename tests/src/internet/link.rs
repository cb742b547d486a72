//! What a link does to the packets that cross it.

use serde::Deserialize;
use std::time::Duration;

/// What a link does to packets in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Conditions {
    /// How long every packet takes.
    pub delay: Duration,
    /// How much longer a packet may take, evenly distributed; packets may then overtake one another.
    pub jitter: Duration,
    /// The share of packets lost, 0 to 1.
    pub loss: f64,
    /// Whether everything is swallowed.
    pub silent: bool,
}

impl Conditions {
    /// Only a delay, in microseconds.
    pub const fn delayed(microseconds: u64) -> Self {
        Self { delay: Duration::from_micros(microseconds), jitter: Duration::ZERO, loss: 0.0, silent: false }
    }
}

/// Which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From the host.
    Up,
    /// To the host.
    Down,
    /// Both.
    #[default]
    Both,
}

/// One host's link, both directions.
#[derive(Debug)]
pub(super) struct Link {
    up: Conditions,
    down: Conditions,
    random: fastrand::Rng,
}

impl Link {
    /// The seed and the link's number fix everything random about it.
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

    /// How long a packet takes from the host, or `None` if it gets lost.
    pub(super) fn cross_up(&mut self) -> Option<Crossing> {
        cross(self.up, &mut self.random)
    }

    /// How long a packet takes to the host, or `None` if it gets lost.
    pub(super) fn cross_down(&mut self) -> Option<Crossing> {
        cross(self.down, &mut self.random)
    }
}

/// How one packet crosses one link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crossing {
    pub(super) delay: Duration,
    /// Whether it must not overtake the packet before.
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
    fn loss_follows_its_share_and_its_seed() {
        let arrived = lossy(1).into_iter().filter(|arrived| *arrived).count();
        assert!((3700..3900).contains(&arrived), "{arrived} of 4000 arrived at 5% loss");
        assert_eq!(lossy(1), lossy(1));
        assert_ne!(lossy(1), lossy(2));
    }

    #[test]
    fn silence_is_one_way_if_asked() {
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
