use super::{home, incidents, nodes, snapshot};
use insta::assert_snapshot;
use sentinel_model::{
    Agreement, Asn, Assurance, Attributed, ConfiguredResolver, Connectivity, DnsView, Entity, Epoch,
    ExitView, Family, FindingKind, Home, Incident, IncidentState, LatencyPoint, LatencyView, Micros, Millis,
    Moment, Monotonic, Need, NetworkKey, NodeRole, NodeView, Outcome, Owner, PendingNode, Reachability,
    Reason, ResolverPath, ResolverRole, ResolverView, SCHEMA, Schedule, Severity, ShownState, Snapshot,
    Source, StorageView, SwarmView, Timestamp, TunnelView, UtcOffset, Verdict, VerdictView, Voice, VoiceView,
};

const NOW: i64 = 1_760_000_000_000;

const SENTENCE: &str =
    "2 of your nodes see you at 203.0.113.12 (Example VPN, Sweden); names are resolved inside the tunnel.";

fn ago(seconds: i64) -> Timestamp {
    Timestamp(NOW - seconds * 1000)
}

fn owned(address: &str, name: &str) -> Attributed {
    let owner = Owner { asn: Some(Asn(64510)), name: name.to_owned(), country: Some("Sweden".to_owned()) };
    Attributed { address: address.parse().unwrap(), owner: Some(owner) }
}

fn voice(name: &str) -> Voice {
    Voice { source: Source::Node(name.into()), name: name.to_owned(), network: NetworkKey::Asn(Asn(1)) }
}

fn saw(name: &str, saw: Outcome<Attributed>, agreement: Agreement) -> VoiceView {
    VoiceView { voice: voice(name), saw, agreement, rtt: Some(Micros(23_400)), at: ago(2) }
}

fn node(name: &str, is_self: bool, reachability: Reachability) -> NodeView {
    let last_heard = (!is_self).then(|| ago(95));
    NodeView {
        id: name.into(),
        name: name.to_owned(),
        role: NodeRole::Probe,
        is_self,
        reachability,
        name_error: None,
        announced: None,
        last_heard,
    }
}

fn exits() -> Vec<ExitView> {
    let exit = owned("203.0.113.12", "Example VPN");
    vec![
        ExitView {
            family: Family::V4,
            address: Outcome::Measured(exit.clone()),
            is_home: Some(false),
            since: ago(7500),
            voices: vec![
                saw("vps-fra", Outcome::Measured(exit.clone()), Agreement::Agrees),
                saw("home-server", Outcome::Measured(exit), Agreement::Agrees),
                saw("friend", Outcome::Unknown(Reason::TimedOut), Agreement::Silent),
            ],
        },
        ExitView {
            family: Family::V6,
            address: Outcome::Unknown(Reason::Unreachable),
            is_home: None,
            since: ago(7500),
            voices: vec![],
        },
    ]
}

fn dns() -> DnsView {
    DnsView {
        resolvers: Outcome::Measured(vec![ResolverView {
            resolver: owned("203.0.113.53", "Example VPN"),
            path: ResolverPath::System,
            is_home: false,
        }]),
        configured: vec![ConfiguredResolver {
            address: "10.64.0.1".parse().unwrap(),
            interface: None,
            role: ResolverRole::First,
        }],
        since: ago(7500),
    }
}

fn protected() -> Snapshot {
    Snapshot {
        schema: SCHEMA,
        sequence: 7,
        at: Timestamp(NOW),
        offset: UtcOffset(7200),
        epoch: Epoch(3),
        node: "laptop".into(),
        name: "laptop".to_owned(),
        shown: ShownState {
            verdict: VerdictView {
                verdict: Verdict::Protected,
                assurance: Some(Assurance::Witnessed),
                sentence: SENTENCE.to_owned(),
                since: ago(7500),
                verified_at: Some(ago(2)),
            },
            connectivity: Connectivity::Online,
            exits: exits(),
            dns: dns(),
            latency: vec![LatencyView {
                target: voice("vps-fra"),
                family: Family::V4,
                baseline: Some(Micros(22_900)),
                points: vec![LatencyPoint { at: ago(1), rtt: Micros(23_412) }],
            }],
            tunnel: Some(TunnelView {
                interface: "wg0".to_owned(),
                up: true,
                kill_switch: None,
                underlay: None,
            }),
            findings: vec![],
            incidents: vec![],
            needs: vec![],
        },
        swarm: SwarmView {
            nodes: vec![
                node("laptop", true, Reachability::Direct),
                node("vps-fra", false, Reachability::Direct),
                node("home-server", false, Reachability::Lost),
            ],
            ..SwarmView::default()
        },
        schedule: Schedule {
            last_round: Some(ago(12)),
            last_round_took: None,
            next_round: Some(Timestamp(NOW + 18_000)),
            round_every: Millis::secs(30),
            beacon_every: Millis::secs(1),
            paused: None,
        },
        storage: StorageView::default(),
    }
}

fn incident(state: IncidentState) -> Incident {
    let moment = |wall| Moment { boot: Monotonic(0), wall };
    Incident {
        id: "exit-exposed-v4-1".into(),
        rule: "exit-exposed".into(),
        kind: FindingKind::ExitExposed,
        family: Some(Family::V4),
        entity: None,
        title: FindingKind::ExitExposed.title(None),
        severity: Severity::Critical,
        state,
        sentence: "198.51.100.142 (home line) seen over IPv4 by vps-fra and home-server.".to_owned(),
        advice: "Reconnect the VPN or go offline.".to_owned(),
        evidence: vec![],
        opened: moment(ago(100)),
        changed: moment(ago(59)),
        acknowledged: None,
    }
}

#[test]
fn a_protected_node() {
    assert_snapshot!(snapshot(&protected()));
}

#[test]
fn an_exposed_node() {
    let mut exposed = protected();
    exposed.shown.verdict.verdict = Verdict::Exposed;
    exposed.shown.verdict.sentence =
        "198.51.100.142 (home line) is visible over IPv4 to vps-fra and home-server.".to_owned();
    exposed.shown.verdict.since = ago(100);
    let home = Attributed::bare("198.51.100.142".parse().unwrap());
    exposed.shown.exits[0].address = Outcome::Measured(home.clone());
    exposed.shown.exits[0].is_home = Some(true);
    exposed.shown.exits[0].voices[1].saw = Outcome::Measured(home);
    exposed.shown.exits[0].voices[0].agreement = Agreement::Disagrees;
    exposed.shown.tunnel =
        Some(TunnelView { interface: "wg0".to_owned(), up: false, kill_switch: None, underlay: None });
    exposed.shown.incidents = vec![incident(IncidentState::Firing)];
    assert_snapshot!(snapshot(&exposed));
}

#[test]
fn a_node_that_cannot_store() {
    let mut failing = protected();
    assert!(!snapshot(&failing).contains("Storage"));
    failing.storage = StorageView {
        unstored: 3,
        failing_since: Some(ago(41)),
        error: Some("The ledger cannot be written: the disk is full. Free some space.".to_owned()),
        dropped: 0,
    };
    let text = snapshot(&failing);
    for part in ["Storage     not stored yet: 3 changes, failing since ", "the disk is full"] {
        assert!(text.contains(part), "{text}");
    }
    failing.storage = StorageView { dropped: 7, ..StorageView::default() };
    assert!(snapshot(&failing).contains("7 changes and measurements were given up"));
}

#[test]
fn a_node_that_has_just_been_installed() {
    let mut new = protected();
    new.shown.verdict = VerdictView {
        verdict: Verdict::Unverified,
        assurance: None,
        sentence: "Nobody can vouch for you yet.".to_owned(),
        since: ago(5),
        verified_at: None,
    };
    for exit in &mut new.shown.exits {
        exit.address = Outcome::Unknown(Reason::Failed("nobody was asked".to_owned()));
        exit.voices.clear();
    }
    new.shown.dns.resolvers = Outcome::Unknown(Reason::Failed("nobody was asked".to_owned()));
    new.shown.latency.clear();
    new.shown.tunnel = None;
    new.swarm.nodes.truncate(1);
    new.shown.needs = vec![Need::Home, Need::Witness, Need::Consent];
    assert_snapshot!(snapshot(&new));
}

#[test]
fn the_list_of_nodes() {
    let mut some = protected();
    some.swarm.pending =
        vec![PendingNode { id: "x".into(), name: "attic".to_owned(), fingerprint: "7QK2-M9XD".to_owned() }];
    assert_snapshot!(nodes(&some));
}

#[test]
fn a_first_node_shows_how_to_add_a_second() {
    let mut lonely = protected();
    lonely.swarm.nodes.truncate(1);
    assert!(nodes(&lonely).contains("pair invite"));
}

#[test]
fn past_incidents() {
    let list = [incident(IncidentState::Firing), incident(IncidentState::Resolved)];
    assert_snapshot!(incidents(&list, 7, Timestamp(NOW), UtcOffset(0)));
    assert_eq!(incidents(&[], 1, Timestamp(NOW), UtcOffset(0)), "No incidents in the last day.");
}

#[test]
fn an_incident_is_shown_by_its_title_and_not_by_its_kind() {
    for (kind, entity) in [
        (FindingKind::DnsLeak, None),
        (FindingKind::LatencyFloor, None),
        (FindingKind::NodeSilent, Some(Entity::Node("home-server".to_owned()))),
        (FindingKind::VoiceDissents, Some(Entity::Voice("vps-fra".to_owned()))),
    ] {
        let title = kind.title(entity.as_ref());
        let incident = Incident { kind, entity, title: title.clone(), ..incident(IncidentState::Firing) };
        let mut exposed = protected();
        exposed.shown.incidents = vec![incident.clone()];
        let history = incidents(&[incident], 7, Timestamp(NOW), UtcOffset(0));
        for text in [snapshot(&exposed), history] {
            assert!(text.contains(&title) && !text.contains(kind.name()), "{text}");
        }
    }
}

#[test]
fn an_incident_says_where_it_stands() {
    let states = [IncidentState::Recovering, IncidentState::Unknown];
    let mut list: Vec<_> = states.into_iter().map(incident).collect();
    list[0].acknowledged = Some(ago(30));
    list[0].severity = Severity::Warning;
    list[1].severity = Severity::Information;
    assert_snapshot!(incidents(&list, 7, Timestamp(NOW), UtcOffset(0)));
}

#[test]
fn a_home_line_and_how_to_set_one() {
    let unset = home(&Home::default());
    assert!(unset.starts_with("Your home line is not set yet.") && unset.contains("home learn"), "{unset}");
    let set = Home { addresses: vec!["198.51.100.142".parse().unwrap()], ..Home::default() };
    let text = home(&set);
    assert!(text.contains("addresses   198.51.100.142") && !text.contains("operators"), "{text}");
}

#[test]
fn what_to_do_depends_on_why_nothing_is_measured() {
    let mut node = protected();
    assert!(!snapshot(&node).contains("sign in"));
    node.shown.connectivity = Connectivity::Portal;
    assert!(snapshot(&node).contains("sign in to this network"));
    node.shown.connectivity = Connectivity::Offline;
    assert!(snapshot(&node).contains("Connect to a network"));
    node.shown.connectivity = Connectivity::Online;
    for voice in node.shown.exits.iter_mut().flat_map(|exit| &mut exit.voices) {
        voice.agreement = Agreement::Silent;
    }
    assert!(snapshot(&node).contains("nobody answered"));
}
