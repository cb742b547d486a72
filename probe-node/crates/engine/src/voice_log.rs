//! The exit address each voice last reported, and when any voice last reported one.
//!
//! When one voice reports a change, all others are asked at once: their last reports may be half a
//! minute old, and until they report again a real change cannot be distinguished from a mistake.
//! When no voice answers, a captive portal may be in the way.

use sentinel_model::{Fact, Family, Millis, Monotonic, Observation, Outcome, Source};
use std::{collections::BTreeMap, net::IpAddr};

/// Time without any report in a new network that counts as silence: longer than any round trip.
const SILENT_AFTER_CHANGE: Millis = Millis::secs(1);

/// The latest exit address per voice and family.
#[derive(Debug, Default)]
pub(crate) struct VoiceLog {
    addresses: BTreeMap<(Source, Family), IpAddr>,
    /// When any voice last reported an address.
    last_report: Option<Monotonic>,
}

impl VoiceLog {
    /// Records the exit that an observation holds. Returns true if this voice reported another one
    /// before.
    pub(crate) fn record(&mut self, observation: &Observation) -> bool {
        let Fact::Exit(exit) = &observation.fact else { return false };
        let Outcome::Measured(seen) = &exit.address else { return false };
        self.last_report = self.last_report.max(Some(observation.at.boot));
        let previous = self.addresses.insert((exit.voice.source.clone(), exit.family), seen.address);
        previous.is_some_and(|previous| previous != seen.address)
    }

    /// Returns true if no voice has reported recently.
    ///
    /// That is the case if:
    /// - no voice has ever reported, or none within `ttl`; or
    /// - the network changed a second ago or earlier, and none has reported since.
    pub(crate) fn is_silent(&self, now: Monotonic, changed: Monotonic, ttl: Millis) -> bool {
        let Some(last) = self.last_report else { return true };
        now.since(last) > ttl || (last < changed && now.since(changed) >= SILENT_AFTER_CHANGE)
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
        let exit = ExitSeen { family: Family::V4, voice, path: ExitPath::Stun, address, route: None };
        Observation { at: Moment::default(), epoch: Epoch::default(), fact: Fact::Exit(exit) }
    }

    #[test]
    fn silence_counts_a_second_after_a_change_and_after_the_ttl_otherwise() {
        let ttl = Millis::secs(5);
        let mut log = VoiceLog::default();
        assert!(log.is_silent(Monotonic(0), Monotonic(0), ttl), "no voice has ever reported");
        let mut answer = seen("a", Some("203.0.113.12"));
        answer.at.boot = Monotonic(10_000);
        log.record(&answer);
        log.record(&seen("a", None));
        assert!(!log.is_silent(Monotonic(14_000), Monotonic(0), ttl));
        assert!(log.is_silent(Monotonic(15_001), Monotonic(0), ttl));
        assert!(
            !log.is_silent(Monotonic(11_999), Monotonic(11_000), ttl),
            "the change is less than a second ago"
        );
        assert!(log.is_silent(Monotonic(12_000), Monotonic(11_000), ttl));
    }

    #[test]
    fn only_a_voice_that_reports_another_address_than_before_counts() {
        let mut log = VoiceLog::default();
        assert!(!log.record(&seen("a", Some("203.0.113.12"))));
        assert!(!log.record(&seen("b", Some("203.0.113.99"))));
        assert!(!log.record(&seen("a", None)));
        assert!(!log.record(&seen("a", Some("203.0.113.12"))));
        assert!(log.record(&seen("a", Some("198.51.100.142"))));
        assert!(!log.record(&seen("a", Some("198.51.100.142"))));
    }
}
