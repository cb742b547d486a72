//! Every finding names what was seen, by whom and when.

mod world;

use sentinel_model::*;
use world::*;

fn evidence(assessment: &sentinel_judge::Assessment, kind: FindingKind) -> Vec<Evidence> {
    let found = assessment.shown.findings.iter().filter(|finding| finding.kind == kind);
    found.flat_map(|finding| finding.evidence.clone()).collect()
}

#[test]
fn a_silence_names_each_voice_with_its_reason_and_its_time() {
    let mut world = World::protected();
    let last_heard = world.now().wall;
    let assessment = world.pass(8, || vec![silent(FRA, Family::V4)]);
    let evidence = evidence(&assessment, FindingKind::WitnessesSilent);
    let said: Vec<(&str, &str, Timestamp)> = evidence
        .iter()
        .map(|one| (one.voice.as_ref().unwrap().name.as_str(), one.saw.as_str(), one.at))
        .collect();
    let seen = "203.0.113.12 (Example VPN, Sweden) over IPv4, and nothing since";
    assert_eq!(
        said,
        [("home-server", seen, last_heard), ("vps-fra", "no answer in time over IPv4", world.now().wall),]
    );
    let mut twin = World::protected();
    assert!(twin.pass(8, all_vpn).shown.findings.is_empty());
}

#[test]
fn an_offline_finding_names_what_showed_it() {
    for connectivity in [Connectivity::Offline, Connectivity::Portal] {
        let mut world = World::protected();
        world.network_change();
        world.see([Fact::Connectivity(connectivity)]);
        let at = world.now().wall;
        let evidence = evidence(&world.assess(), FindingKind::Offline);
        assert_eq!(evidence.len(), 1);
        assert_eq!(evidence[0].at, at);
        let portal = evidence[0].saw.contains("local network");
        assert_eq!(portal, connectivity == Connectivity::Portal);
    }
}

#[test]
fn a_tampering_finding_names_what_each_source_was_given() {
    let said = |name: &str, path, address: &str| {
        let answer =
            ResolvedName { addresses: vec![Attributed::bare(ip(address))], ..ResolvedName::default() };
        Fact::Answers(AnswersSeen { name: name.to_owned(), path, answer: Outcome::Measured(answer) })
    };
    let mut world = World::protected();
    let node = |(name, _): (&str, u32)| AnswerPath::Node(NodeId(name.to_owned()));
    for name in ["a.example", "b.example"] {
        world.see([
            said(name, AnswerPath::System, "10.0.0.1"),
            said(name, node(FRA), "192.0.2.80"),
            said(name, node(SERVER), "192.0.2.80"),
        ]);
    }
    let evidence = evidence(&world.assess(), FindingKind::DnsTampering);
    let said: Vec<(Option<&str>, &str)> = evidence
        .iter()
        .take(3)
        .map(|one| (one.voice.as_ref().map(|voice| voice.name.as_str()), one.saw.as_str()))
        .collect();
    assert_eq!(
        said,
        [
            (None, "a.example is 10.0.0.1 for us"),
            (Some("home-server"), "a.example is 192.0.2.80 for home-server"),
            (Some("vps-fra"), "a.example is 192.0.2.80 for vps-fra"),
        ]
    );
}

#[test]
fn a_second_answer_is_evidence_even_where_no_egress_is_known() {
    let way = |transport, second_answer| TransportSeen {
        transport,
        egress_addresses: Outcome::Unknown(Reason::TimedOut),
        second_answer,
    };
    let mut world = World::protected();
    for _ in 0..2 {
        world.see([Fact::Interception(InterceptionSeen {
            resolver: "Quad9".to_owned(),
            address: attributed("9.9.9.9"),
            transports: vec![way(DnsTransport::Udp, true), way(DnsTransport::Tls, false)],
        })]);
        world.pass(10, all_vpn);
    }
    let evidence = evidence(&world.assess(), FindingKind::DnsInterception);
    assert_eq!(evidence[0].saw, "Quad9 over UDP: nobody who is known, with a second answer");
}
