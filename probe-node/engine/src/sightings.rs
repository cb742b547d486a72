//! Where each voice saw us last. When one sees us move, all the others are asked at once: their last word may be half a
//! minute old, and until they speak again a move cannot be told from a mistake.

use sentinel_model::{Fact, Family, Observation, Outcome, Source};
use std::{collections::BTreeMap, net::IpAddr};

#[derive(Debug, Default)]
pub(crate) struct Sightings {
    last: BTreeMap<(Source, Family), IpAddr>,
}

impl Sightings {
    /// Takes an observation in; says whether a voice that had seen us elsewhere now sees us here.
    pub(crate) fn moved(&mut self, observation: &Observation) -> bool {
        let Fact::Exit(exit) = &observation.fact else { return false };
        let Outcome::Measured(seen) = &exit.address else { return false };
        let before = self.last.insert((exit.voice.source.clone(), exit.family), seen.address);
        before.is_some_and(|before| before != seen.address)
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
