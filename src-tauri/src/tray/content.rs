//! What the tray shows of a snapshot. Pure.

use sentinel_model::{Agreement, ExitView, Outcome, Snapshot, Source, Verdict};
use std::collections::BTreeMap;

/// The verdict and the texts that the tray shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrayContent {
    /// The verdict, which decides the icon.
    pub verdict: Verdict,
    /// `Protected since 14:02:11`.
    pub verdict_line: String,
    /// `Exit 203.0.113.12 (Example VPN, Sweden)`.
    pub exit_line: String,
    /// `Witnesses 2/3`.
    pub witness_line: String,
    /// True if judging is paused, so that it can be resumed.
    pub paused: bool,
}

impl From<&Snapshot> for TrayContent {
    fn from(snapshot: &Snapshot) -> Self {
        Self {
            verdict: snapshot.shown.verdict.verdict,
            verdict_line: verdict_line(snapshot),
            exit_line: exit_line(&snapshot.shown.exits),
            witness_line: witness_line(&snapshot.shown.exits),
            paused: snapshot.schedule.paused.is_some(),
        }
    }
}

fn verdict_line(snapshot: &Snapshot) -> String {
    if let Some(pause) = snapshot.schedule.paused {
        return match pause.until {
            Some(until) => format!("Paused until {}", until.format_local(snapshot.at, snapshot.offset)),
            None => "Paused until you resume".to_owned(),
        };
    }
    let verdict = &snapshot.shown.verdict;
    format!("{} {}", verdict.verdict, verdict.since.format_since(snapshot.at, snapshot.offset))
}

fn exit_line(exits: &[ExitView]) -> String {
    let seen: Vec<String> = exits
        .iter()
        .filter_map(|exit| exit.address.measured().map(|address| (address, exit.is_home)))
        .map(|(address, is_home)| match is_home {
            Some(true) => format!("{} (home line)", address.address),
            _ => address.to_string(),
        })
        .collect();
    if !seen.is_empty() {
        return format!("Exit {}", seen.join(" and "));
    }
    let reason = exits.iter().find_map(|exit| match &exit.address {
        Outcome::Unknown(reason) => Some(reason),
        Outcome::Measured(_) => None,
    });
    match reason {
        Some(reason) => format!("Exit unknown: {reason}"),
        None => "Exit not measured yet".to_owned(),
    }
}

/// Returns how many of the witnesses answer, each counted once over both families.
fn witness_line(exits: &[ExitView]) -> String {
    let mut answers: BTreeMap<&str, bool> = BTreeMap::new();
    for voice in exits.iter().flat_map(|exit| &exit.voices) {
        let id = match &voice.voice.source {
            Source::Node(node) => &node.0,
            Source::Service(name) => name,
        };
        *answers.entry(id).or_default() |= voice.agreement != Agreement::Silent;
    }
    match answers.len() {
        0 => "No witnesses".to_owned(),
        all => format!("Witnesses {}/{all}", answers.values().filter(|answers| **answers).count()),
    }
}

/// Escapes ampersands in a menu label, where one underlines the letter after it.
pub(super) fn menu_label(text: &str) -> String {
    text.replace('&', "&&")
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::{
        Asn, Attributed, Connectivity, DnsView, Epoch, Family, NetworkKey, NodeId, Owner, Pause, Reason,
        SCHEMA, Schedule, ShownState, SwarmView, Timestamp, UtcOffset, VerdictView, Voice, VoiceView,
    };

    const NOON: Timestamp = Timestamp(1_700_049_600_000);

    fn snapshot(exits: Vec<ExitView>) -> Snapshot {
        Snapshot {
            schema: SCHEMA,
            sequence: 1,
            at: NOON,
            offset: UtcOffset(0),
            epoch: Epoch(1),
            node: NodeId::from("self"),
            name: "laptop".to_owned(),
            shown: ShownState {
                verdict: VerdictView {
                    verdict: Verdict::Protected,
                    assurance: None,
                    sentence: String::new(),
                    since: Timestamp(NOON.0 - 60_000),
                    verified_at: None,
                },
                connectivity: Connectivity::Online,
                exits,
                dns: DnsView {
                    resolvers: Outcome::Unknown(Reason::TimedOut),
                    configured: Vec::new(),
                    since: NOON,
                },
                latency: Vec::new(),
                tunnel: None,
                findings: Vec::new(),
                incidents: Vec::new(),
                needs: Vec::new(),
            },
            swarm: SwarmView::default(),
            schedule: Schedule::default(),
            storage: sentinel_model::StorageView::default(),
        }
    }

    fn voice(source: Source, agreement: Agreement) -> VoiceView {
        let network = NetworkKey::Asn(Asn(1));
        VoiceView {
            voice: Voice { source, name: "a".to_owned(), network },
            saw: Outcome::Unknown(Reason::TimedOut),
            agreement,
            rtt: None,
            at: NOON,
        }
    }

    fn exit(address: Outcome<Attributed>, is_home: Option<bool>, voices: Vec<VoiceView>) -> ExitView {
        let family = match &address {
            Outcome::Measured(at) => Family::of(at.address),
            Outcome::Unknown(_) => Family::V4,
        };
        ExitView { family, address, is_home, since: NOON, voices }
    }

    fn at(address: &str, owner: Option<&str>) -> Outcome<Attributed> {
        Outcome::Measured(Attributed {
            address: address.parse().unwrap(),
            owner: owner.map(|name| Owner {
                asn: None,
                name: name.to_owned(),
                country: Some("Sweden".to_owned()),
            }),
        })
    }

    #[test]
    fn a_verdict_has_its_start_and_a_pause_its_end() {
        let mut snapshot = snapshot(Vec::new());
        assert_eq!(verdict_line(&snapshot), "Protected since 11:59:00");
        snapshot.shown.verdict.since = Timestamp(NOON.0 - 93_600_000);
        assert_eq!(verdict_line(&snapshot), "Protected for 1 d 2 h");
        snapshot.schedule.paused = Some(Pause { until: Some(Timestamp(NOON.0 + 900_000)) });
        assert_eq!(verdict_line(&snapshot), "Paused until 12:15:00");
        snapshot.schedule.paused = Some(Pause { until: None });
        assert_eq!(verdict_line(&snapshot), "Paused until you resume");
        assert!(TrayContent::from(&snapshot).paused);
    }

    #[test]
    fn the_exit_line_lists_every_measured_family_and_marks_the_home_line() {
        let vpn = exit(at("203.0.113.12", Some("Example VPN")), Some(false), Vec::new());
        let silent = exit(Outcome::Unknown(Reason::TimedOut), None, Vec::new());
        let home = exit(at("2001:db8:51::7", Some("Example ISP")), Some(true), Vec::new());
        assert_eq!(exit_line(&[vpn.clone(), silent.clone()]), "Exit 203.0.113.12 (Example VPN, Sweden)");
        assert_eq!(
            exit_line(&[vpn, home]),
            "Exit 203.0.113.12 (Example VPN, Sweden) and 2001:db8:51::7 (home line)"
        );
        assert!(exit_line(&[silent]).starts_with("Exit unknown: "));
        assert_eq!(exit_line(&[]), "Exit not measured yet");
    }

    #[test]
    fn a_witness_counts_once_and_answers_if_it_does_so_over_either_family() {
        let fra = || Source::Node(NodeId::from("fra"));
        let v4 = vec![
            voice(fra(), Agreement::Silent),
            voice(Source::Service("stun".to_owned()), Agreement::Silent),
        ];
        let v6 = vec![voice(fra(), Agreement::Disagrees)];
        let unknown = || Outcome::Unknown(Reason::TimedOut);
        assert_eq!(witness_line(&[exit(unknown(), None, v4), exit(unknown(), None, v6)]), "Witnesses 1/2");
        assert_eq!(witness_line(&[]), "No witnesses");
    }

    #[test]
    fn an_ampersand_in_the_name_of_an_operator_is_escaped() {
        assert_eq!(menu_label("AT&T"), "AT&&T");
    }
}
