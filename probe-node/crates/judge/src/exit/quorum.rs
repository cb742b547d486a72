//! One voice per network, then a count: what most of them report, and whether that is enough.

use crate::policy::Policy;
use sentinel_model::{Attributed, Family, InterfaceKind, Moment, NetworkKey, RouteTaken, Source, Voice};
use std::{cmp::Reverse, collections::BTreeMap};

/// What one voice reports now.
#[derive(Clone, Debug)]
pub(crate) struct VoiceReport {
    /// Who reports it.
    pub voice: Voice,
    /// The exit it saw.
    pub exit: Attributed,
    /// When it saw it.
    pub at: Moment,
    /// Since when it has been seeing it.
    pub since: Moment,
    /// Whether the exit is home.
    pub names_home: bool,
    /// The route by which the voice was reached, if the kernel reported it.
    pub route: Option<RouteTaken>,
}

/// Returns true if an exit is home, given the route by which the voice was reached.
///
/// - An exit that the user expects is not: a VPN may lead home on purpose.
/// - Any address of the home line's operator is, where the packets left by a physical interface:
///   the line's address may have changed.
pub(crate) fn is_home(exit: &Attributed, route: Option<&RouteTaken>, policy: &Policy) -> bool {
    let expectation = &policy.expectation;
    if expectation.names_exit_over(Family::of(exit.address)) && expectation.accepts_exit(exit) == Some(true) {
        return false;
    }
    let is_physical = route.is_some_and(|taken| taken.kind == InterfaceKind::Physical);
    policy.home.contains(exit) || (is_physical && policy.home.is_operator_of(exit))
}

impl VoiceReport {
    fn is_service(&self) -> bool {
        matches!(self.voice.source, Source::Service(_))
    }
}

/// Whether the voices vouch for one exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quorum {
    /// No voice answers.
    NoVoice,
    /// Voices of one network only answer.
    OneVoice,
    /// Enough voices agree, and no more dissent than is tolerated.
    Reached,
    /// The voices contradict each other.
    Contested,
}

/// The count of one family's voices.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    /// Whether the voices vouch for one exit.
    pub quorum: Quorum,
    /// The reports, one per network.
    pub voices: Vec<VoiceReport>,
    /// Those of them that name home.
    pub home: Vec<VoiceReport>,
    /// Those of them that name the majority's operator; never home.
    pub agreeing: Vec<VoiceReport>,
}

/// Returns how many voices may dissent: one of two to five, two of six or more.
const fn tolerated_dissent(voices: usize) -> usize {
    match voices {
        0 | 1 => 0,
        2..=5 => 1,
        _ => 2,
    }
}

impl Tally {
    /// Counts the voices; the order in which the reports are given does not matter.
    pub fn of(reports: Vec<VoiceReport>) -> Self {
        let voices = keep_one_per_network(reports);
        let home: Vec<VoiceReport> = voices.iter().filter(|voice| voice.names_home).cloned().collect();
        let agreeing = find_majority(&voices);
        let dissent = voices.len() - agreeing.len();
        let enough = agreeing.len() >= 2 && dissent <= tolerated_dissent(voices.len());
        let quorum = match voices.len() {
            0 => Quorum::NoVoice,
            1 => Quorum::OneVoice,
            // However many others there are, a voice that names home is not outvoted.
            _ if enough && home.is_empty() => Quorum::Reached,
            _ => Quorum::Contested,
        };
        Self { quorum, voices, home, agreeing }
    }

    /// Returns the exit to show: home if two voices name it, else what most name, else any.
    pub fn exit(&self) -> Option<&Attributed> {
        let leader = match self.home.len() {
            0 | 1 => self.agreeing.first().or(self.home.first()),
            _ => self.home.first(),
        };
        leader.or(self.voices.first()).map(|report| &report.exit)
    }
}

/// Returns the report that counts for each network.
///
/// One that names home always does: a second voice in the same network must not hide it.
fn keep_one_per_network(mut reports: Vec<VoiceReport>) -> Vec<VoiceReport> {
    reports.sort_by(|a, b| rank(a).cmp(&rank(b)));
    let mut first: BTreeMap<NetworkKey, VoiceReport> = BTreeMap::new();
    for report in reports {
        first.entry(report.voice.network).or_insert(report);
    }
    let mut voices: Vec<VoiceReport> = first.into_values().collect();
    voices.sort_by(|a, b| rank(a).cmp(&rank(b)));
    voices
}

/// Returns a total order: those that name home, own nodes, the latest, then by name.
fn rank(report: &VoiceReport) -> impl Ord + '_ {
    let latest = Reverse(report.at.boot);
    (!report.names_home, report.is_service(), latest, &report.voice.source, report.exit.address)
}

/// Returns the largest group that names one operator and not home.
///
/// Of equally large groups, the one with more own nodes counts, then the one with the lower
/// address.
fn find_majority(voices: &[VoiceReport]) -> Vec<VoiceReport> {
    let candidates = voices.iter().filter(|voice| !voice.names_home);
    candidates
        .clone()
        .map(|leader| {
            let same = candidates.clone().filter(|voice| voice.exit.same_operator(&leader.exit));
            let mut group: Vec<VoiceReport> = same.cloned().collect();
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

    /// A voice in network `net` that sees `address`; a leading `h` makes the address home.
    fn report(net: u32, address: &str) -> VoiceReport {
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
            route: None,
        }
    }

    fn quorum(voices: &[(u32, &str)]) -> Quorum {
        Tally::of(voices.iter().map(|(net, address)| report(*net, address)).collect()).quorum
    }

    #[test]
    fn a_quorum_needs_two_networks_and_one_operator() {
        assert_eq!(quorum(&[]), Quorum::NoVoice);
        assert_eq!(quorum(&[(1, "192.0.2.1")]), Quorum::OneVoice);
        assert_eq!(quorum(&[(1, "192.0.2.1"), (1, "192.0.2.2")]), Quorum::OneVoice);
        assert_eq!(quorum(&[(1, "192.0.2.1"), (2, "192.0.2.9")]), Quorum::Reached);
        assert_eq!(quorum(&[(1, "192.0.2.1"), (2, "203.0.113.1")]), Quorum::Contested);
    }

    #[test]
    fn services_behind_a_proxy_that_hides_their_addresses_are_told_apart_by_name() {
        let named = |name: &str, address: &str| {
            let mut report = report(1, address);
            report.voice.network = NetworkKey::Named(name.into());
            report
        };
        let quorum = |reports| Tally::of(reports).quorum;
        assert_eq!(quorum(vec![named("a", "192.0.2.1"), named("b", "192.0.2.1")]), Quorum::Reached);
        assert_eq!(quorum(vec![named("a", "192.0.2.1"), named("a", "192.0.2.1")]), Quorum::OneVoice);
        let home = vec![named("a", "h198.51.100.142"), named("b", "h198.51.100.142")];
        assert_eq!(Tally::of(home).home.len(), 2);
    }

    #[test]
    fn one_of_three_and_two_of_six_may_dissent_but_not_more() {
        let good: Vec<(u32, &str)> = (1..=4).map(|net| (net, "192.0.2.1")).collect();
        let with = |count: usize, bad: &[(u32, &'static str)]| {
            quorum(&good.iter().take(count).copied().chain(bad.iter().copied()).collect::<Vec<_>>())
        };
        assert_eq!(with(2, &[(8, "203.0.113.1")]), Quorum::Reached);
        assert_eq!(with(3, &[(8, "203.0.113.1"), (9, "203.0.113.1")]), Quorum::Contested);
        assert_eq!(with(4, &[(8, "203.0.113.1"), (9, "203.0.113.1")]), Quorum::Reached);
    }

    #[test]
    fn a_voice_naming_home_is_never_outvoted() {
        for others in [2, 4, 5, 8] {
            let mut voices: Vec<(u32, &str)> = (1..=others).map(|net| (net, "192.0.2.1")).collect();
            assert_eq!(quorum(&voices), Quorum::Reached, "{others}");
            voices.push((9, "h198.51.100.142"));
            assert_eq!(quorum(&voices), Quorum::Contested, "{others}");
        }
    }

    #[test]
    fn a_neighbour_in_the_same_network_does_not_hide_a_home_sighting() {
        let tally =
            Tally::of(vec![report(1, "192.0.2.1"), report(1, "h198.51.100.142"), report(2, "192.0.2.1")]);
        assert_eq!(tally.home.len(), 1);
        assert_eq!(tally.quorum, Quorum::Contested);
    }
}
