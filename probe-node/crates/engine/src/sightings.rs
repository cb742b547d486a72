//! Where each voice saw us last, and when any did. When one sees us move, all the others are asked at once: their last
//! word may be half a minute old, and until they speak again a move cannot be told from a mistake. When none speaks, a
//! captive portal may be in the way.

use sentinel_model::{Fact, Family, Millis, Monotonic, Observation, Outcome, Source};
use std::{collections::BTreeMap, net::IpAddr};

/// How long everybody may be silent in a new network before that is remarkable: longer than any round trip.
const REMARKABLE: Millis = Millis::secs(1);

#[derive(Debug, Default)]
pub(crate) struct Sightings {
    last: BTreeMap<(Source, Family), IpAddr>,
    /// When any voice last answered.
    heard: Option<Monotonic>,
}

impl Sightings {
    /// Takes an observation in; says whether a voice that had seen us elsewhere now sees us here.
    pub(crate) fn moved(&mut self, observation: &Observation) -> bool {
        let Fact::Exit(exit) = &observation.fact else { return false };
        let Outcome::Measured(seen) = &exit.address else { return false };
        self.heard = self.heard.max(Some(observation.at.boot));
        let before = self.last.insert((exit.voice.source.clone(), exit.family), seen.address);
        before.is_some_and(|before| before != seen.address)
    }

    /// Whether nobody has answered lately: for a second and more since the network changed, or within `ttl` at all.
    pub(crate) fn silent(&self, now: Monotonic, changed: Monotonic, ttl: Millis) -> bool {
        let Some(heard) = self.heard else { return true };
        now.since(heard) > ttl || (heard < changed && now.since(changed) >= REMARKABLE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::{Attributed, Epoch, ExitPath, ExitSeen, Moment, NetworkKey, Reason, Voice};

    fn seen(voice: &str, address: Option<&str>) -> Observation {
        let network = NetworkKey::of_prefix("192.0.2.1".parse().unwrap());
        let voice = Voice { source: Source::Service(voice.into()), name: voice.into(), network };
        let address = address.map_or(Outcome::Unknown(Reason::TimedOut), |text| {
            Outcome::Measured(Attributed::bare(text.parse().unwrap()))
        });
        let exit = ExitSeen { family: Family::V4, voice, path: ExitPath::Stun, address };
        Observation { at: Moment::default(), epoch: Epoch::default(), fact: Fact::Exit(exit) }
    }

    #[test]
    fn silence_is_noticed_a_second_after_a_change_and_after_a_while_anyway() {
        let ttl = Millis::secs(5);
        let mut sightings = Sightings::default();
        assert!(sightings.silent(Monotonic(0), Monotonic(0), ttl), "nobody has ever answered");
        let mut answer = seen("a", Some("203.0.113.12"));
        answer.at.boot = Monotonic(10_000);
        sightings.moved(&answer);
        sightings.moved(&seen("a", None));
        assert!(!sightings.silent(Monotonic(14_000), Monotonic(0), ttl));
        assert!(sightings.silent(Monotonic(15_001), Monotonic(0), ttl));
        assert!(!sightings.silent(Monotonic(11_999), Monotonic(11_000), ttl), "too early to tell");
        assert!(sightings.silent(Monotonic(12_000), Monotonic(11_000), ttl));
    }

    #[test]
    fn only_a_voice_that_changes_its_mind_counts() {
        let mut sightings = Sightings::default();
        assert!(!sightings.moved(&seen("a", Some("203.0.113.12"))));
        assert!(!sightings.moved(&seen("b", Some("203.0.113.99"))));
        assert!(!sightings.moved(&seen("a", None)));
        assert!(!sightings.moved(&seen("a", Some("203.0.113.12"))));
        assert!(sightings.moved(&seen("a", Some("198.51.100.142"))));
        assert!(!sightings.moved(&seen("a", Some("198.51.100.142"))));
    }
}
