//! One voice per network, then a count: what most of them say, and whether that is enough.

use sentinel_model::{Attributed, Moment, NetworkKey, Source, Voice};
use std::{cmp::Reverse, collections::BTreeMap};

/// What one voice says now.
#[derive(Clone, Debug)]
pub(crate) struct VoiceReport {
    pub voice: Voice,
    pub exit: Attributed,
    pub at: Moment,
    /// Since when it has been saying so.
    pub since: Moment,
    pub names_home: bool,
}

impl VoiceReport {
    fn is_service(&self) -> bool {
        matches!(self.voice.source, Source::Service(_))
    }
}

/// Whether the voices vouch for one exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quorum {
    /// Nobody answers.
    NoVoice,
    /// One network alone answers.
    OneVoice,
    /// Enough voices agree, and nobody who counts contradicts them.
    Reached,
    /// There are voices, and they contradict each other.
    Contested,
}

/// The count of one family's voices.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    pub quorum: Quorum,
    /// One per network.
    pub voices: Vec<VoiceReport>,
    /// Those of them that name home.
    pub home: Vec<VoiceReport>,
    /// Those of them that name the majority's operator; never home.
    pub agreeing: Vec<VoiceReport>,
}

/// How many may dissent: with two to five voices one, with six or more two.
const fn tolerated(voices: usize) -> usize {
    match voices {
        0 | 1 => 0,
        2..=5 => 1,
        _ => 2,
    }
}

impl Tally {
    /// Counts the voices. The order in which they are given does not matter.
    pub fn of(heard: Vec<VoiceReport>) -> Self {
        let voices = one_per_network(heard);
        let home: Vec<VoiceReport> = voices.iter().filter(|voice| voice.names_home).cloned().collect();
        let agreeing = majority(&voices);
        let dissent = voices.len() - agreeing.len();
        let enough = agreeing.len() >= 2 && dissent <= tolerated(voices.len());
        let quorum = match voices.len() {
            0 => Quorum::NoVoice,
            1 => Quorum::OneVoice,
            // However many others there are, a voice naming home is not outvoted.
            _ if enough && home.is_empty() => Quorum::Reached,
            _ => Quorum::Contested,
        };
        Self { quorum, voices, home, agreeing }
    }

    /// The exit that should be shown: home as soon as two name it, else what most say, else what anybody says.
    pub fn exit(&self) -> Option<&Attributed> {
        let leader = match self.home.len() {
            0 | 1 => self.agreeing.first().or(self.home.first()),
            _ => self.home.first(),
        };
        leader.or(self.voices.first()).map(|heard| &heard.exit)
    }
}

/// The voice that speaks for each network. One that names home always does: a second voice beside it must not hide it.
fn one_per_network(mut heard: Vec<VoiceReport>) -> Vec<VoiceReport> {
    heard.sort_by(|a, b| rank(a).cmp(&rank(b)));
    let mut spoken: BTreeMap<NetworkKey, VoiceReport> = BTreeMap::new();
    for voice in heard {
        spoken.entry(voice.voice.network).or_insert(voice);
    }
    let mut voices: Vec<VoiceReport> = spoken.into_values().collect();
    voices.sort_by(|a, b| rank(a).cmp(&rank(b)));
    voices
}

/// A total order: who names home, own nodes, the latest, then by name.
fn rank(heard: &VoiceReport) -> impl Ord + '_ {
    (!heard.names_home, heard.is_service(), Reverse(heard.at.boot), &heard.voice.source, heard.exit.address)
}

/// The largest group naming one operator that is not home. Ties go to the one with more own nodes, then to the lower
/// address.
fn majority(voices: &[VoiceReport]) -> Vec<VoiceReport> {
    let candidates = voices.iter().filter(|voice| !voice.names_home);
    candidates
        .clone()
        .map(|leader| {
            let mut group: Vec<VoiceReport> =
                candidates.clone().filter(|voice| voice.exit.same_operator(&leader.exit)).cloned().collect();
            group.sort_by_key(VoiceReport::is_service);
            let own = group.iter().filter(|voice| !voice.is_service()).count();
            (group.len(), own, Reverse(leader.exit.address), group)
        })
        .max_by(|a, b| (a.0, a.1, a.2).cmp(&(b.0, b.1, b.2)))
        .map(|(_, _, _, group)| group)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::{Asn, NodeId};

    /// A voice in network `net` that sees `address`; `h` before the address makes it home.
    fn heard(net: u32, address: &str) -> VoiceReport {
        VoiceReport {
            voice: Voice {
                source: Source::Node(NodeId(format!("n{net}{address}"))),
                name: format!("n{net}"),
                network: NetworkKey::Asn(Asn(net)),
            },
            exit: Attributed::bare(address.trim_start_matches('h').parse().unwrap()),
            at: Moment::default(),
            since: Moment::default(),
            names_home: address.starts_with('h'),
        }
    }

    fn standing(voices: &[(u32, &str)]) -> Quorum {
        Tally::of(voices.iter().map(|(net, address)| heard(*net, address)).collect()).quorum
    }

    #[test]
    fn agreement_needs_two_networks_and_the_same_operator() {
        assert_eq!(standing(&[]), Quorum::NoVoice);
        assert_eq!(standing(&[(1, "192.0.2.1")]), Quorum::OneVoice);
        assert_eq!(standing(&[(1, "192.0.2.1"), (1, "192.0.2.2")]), Quorum::OneVoice);
        assert_eq!(standing(&[(1, "192.0.2.1"), (2, "192.0.2.9")]), Quorum::Reached);
        assert_eq!(standing(&[(1, "192.0.2.1"), (2, "203.0.113.1")]), Quorum::Contested);
    }

    #[test]
    fn one_of_three_and_two_of_six_may_dissent_but_not_more() {
        let good: Vec<(u32, &str)> = (1..=4).map(|net| (net, "192.0.2.1")).collect();
        let with = |count: usize, bad: &[(u32, &'static str)]| {
            standing(&good.iter().take(count).copied().chain(bad.iter().copied()).collect::<Vec<_>>())
        };
        assert_eq!(with(2, &[(8, "203.0.113.1")]), Quorum::Reached);
        assert_eq!(with(3, &[(8, "203.0.113.1"), (9, "203.0.113.1")]), Quorum::Contested);
        assert_eq!(with(4, &[(8, "203.0.113.1"), (9, "203.0.113.1")]), Quorum::Reached);
    }

    #[test]
    fn a_voice_naming_home_is_never_outvoted() {
        for others in [2, 4, 5, 8] {
            let mut voices: Vec<(u32, &str)> = (1..=others).map(|net| (net, "192.0.2.1")).collect();
            assert_eq!(standing(&voices), Quorum::Reached, "{others}");
            voices.push((9, "h198.51.100.142"));
            assert_eq!(standing(&voices), Quorum::Contested, "{others}");
        }
    }

    #[test]
    fn a_neighbour_in_the_same_network_does_not_hide_a_home_sighting() {
        let tally =
            Tally::of(vec![heard(1, "192.0.2.1"), heard(1, "h198.51.100.142"), heard(2, "192.0.2.1")]);
        assert_eq!(tally.home.len(), 1);
        assert_eq!(tally.quorum, Quorum::Contested);
    }
}
