//! Who answers in place of a public resolver; each rule beside its fault-free twin.

mod world;

use DnsTransport::{Https, Tcp, Tls, Udp};
use proptest::prelude::*;
use sentinel_model::*;
use world::*;

const QUAD9: &str = "9.9.9.9";
const QUAD9_EGRESS: &str = "198.18.9.77";
const HOME_RESOLVER: &str = "198.51.100.53";
const STRANGER: &str = "192.0.2.200";

fn way(transport: DnsTransport, egress_addresses: &[&str]) -> TransportSeen {
    let egress_addresses = match egress_addresses {
        [] => Outcome::Unknown(Reason::TimedOut),
        some => Outcome::Measured(some.iter().map(|text| attributed(text)).collect()),
    };
    TransportSeen { transport, egress_addresses, second_answer: false }
}

fn seen(ways: Vec<TransportSeen>) -> Fact {
    let (resolver, address) = ("Quad9".to_owned(), attributed(QUAD9));
    Fact::Interception(InterceptionSeen { resolver, address, transports: ways })
}

/// Runs rounds of the check, 30 s apart.
fn rounds(
    world: &mut World,
    count: usize,
    ways: impl Fn() -> Vec<TransportSeen>,
) -> sentinel_judge::Assessment {
    let mut last = world.assess();
    for _ in 0..count {
        world.see([seen(ways())]);
        last = world.pass(29, all_vpn);
    }
    last
}

fn found(ways: impl Fn() -> Vec<TransportSeen>) -> Option<(Severity, Verdict, String)> {
    let mut world = World::protected();
    let assessment = rounds(&mut world, 2, ways);
    let finding = assessment.shown.findings.iter().find(|f| f.kind == FindingKind::DnsInterception)?;
    Some((finding.severity, assessment.shown.verdict.verdict, finding.sentence.clone()))
}

#[test]
fn a_stranger_on_a_plain_transport_is_suspect_and_the_transport_is_named() {
    for (udp, tcp, ways) in [
        (STRANGER, QUAD9_EGRESS, "UDP only"),
        (QUAD9_EGRESS, STRANGER, "TCP only"),
        (STRANGER, STRANGER, "UDP and TCP"),
    ] {
        let result = found(|| vec![way(Udp, &[udp]), way(Tcp, &[tcp]), way(Https, &[QUAD9_EGRESS])]);
        let sentence = format!("Quad9 asked over {ways} is answered by 192.0.2.200 (Other VPN).");
        assert_eq!(result, Some((Severity::Warning, Verdict::Suspect, sentence)));
    }
}

#[test]
fn home_on_a_plain_transport_is_proof_in_the_first_round() {
    let mut world = World::protected();
    world.see([seen(vec![way(Udp, &[HOME_RESOLVER]), way(Tcp, &[]), way(Tls, &[QUAD9_EGRESS])])]);
    assert!(world.assess().remeasure);
    let assessment = world.pass(5, all_vpn);
    assert_eq!(assessment.shown.verdict.verdict, Verdict::Exposed);
    assert_eq!(assessment.shown.findings[0].severity, Severity::Critical);
    assert_eq!(world.titles(), ["Somebody answers in place of your resolver"]);
    world.see([seen(vec![way(Udp, &[QUAD9_EGRESS]), way(Tls, &[QUAD9_EGRESS])])]);
    world.pass(40, all_vpn);
    assert_eq!(world.titles()[1..], ["Your resolver answers for itself again"]);
    assert_eq!(world.verdict(), Verdict::Protected);
}

#[test]
fn the_vpn_providers_own_interception_is_recorded_without_a_notice() {
    let ways = || vec![way(Udp, &[VPN]), way(Tcp, &[VPN]), way(Https, &[QUAD9_EGRESS])];
    let (severity, verdict, _) = found(ways).unwrap();
    assert_eq!((severity, verdict), (Severity::Information, Verdict::Protected));
    let mut world = World::protected();
    rounds(&mut world, 4, ways);
    assert!(world.notices.is_empty());
    assert!(world.changed.iter().any(|incident| incident.kind == FindingKind::DnsInterception));
}

#[test]
fn without_an_authenticated_transport_the_two_plain_ones_are_compared() {
    let said = |udp: &'static str, tcp: &'static str| {
        found(|| vec![way(Udp, &[udp]), way(Tcp, &[tcp]), way(Tls, &[])])
    };
    let (severity, _, sentence) = said(STRANGER, "9.9.9.10").unwrap();
    assert_eq!(severity, Severity::Warning);
    assert!(sentence.starts_with("Quad9 asked over UDP only is answered by 192.0.2.200"), "{sentence}");
    let (_, _, sentence) = said(STRANGER, QUAD9_EGRESS).unwrap();
    assert!(sentence.contains("which cannot both be it"), "{sentence}");
    assert_eq!(said(HOME_RESOLVER, HOME_RESOLVER).unwrap().0, Severity::Critical);
    assert_eq!(said(QUAD9_EGRESS, "198.18.9.78"), None);
}

#[test]
fn an_egress_in_another_network_than_the_resolver_is_no_interception() {
    for ways in [
        vec![way(Udp, &[QUAD9_EGRESS]), way(Tcp, &[QUAD9_EGRESS]), way(Https, &[QUAD9_EGRESS])],
        vec![way(Udp, &["9.9.9.77"]), way(Https, &[QUAD9_EGRESS])],
        vec![way(Udp, &["198.18.9.70"]), way(Https, &[QUAD9_EGRESS])],
        vec![way(Udp, &[STRANGER, QUAD9_EGRESS]), way(Https, &[QUAD9_EGRESS])],
        vec![way(Udp, &[STRANGER])],
        vec![way(Udp, &[]), way(Tcp, &[]), way(Https, &[QUAD9_EGRESS])],
    ] {
        assert_eq!(found(|| ways.clone()), None, "{ways:?}");
    }
}

#[test]
fn a_second_answer_counts_when_it_comes_again() {
    let doubled = || {
        let twice = TransportSeen { second_answer: true, ..way(Udp, &[QUAD9_EGRESS]) };
        vec![twice, way(Https, &[QUAD9_EGRESS])]
    };
    let mut once = World::protected();
    assert!(rounds(&mut once, 1, doubled).shown.findings.is_empty(), "a packet may be duplicated");
    let (severity, verdict, sentence) = found(doubled).unwrap();
    assert_eq!((severity, verdict), (Severity::Warning, Verdict::Suspect));
    assert_eq!(sentence, "Quad9 asked over UDP only gives two different answers.");
}

#[test]
fn where_an_operator_is_unknown_only_home_is_blamed() {
    let (one, other) = ("198.18.77.1", "198.18.88.1");
    for ways in [
        vec![way(Udp, &[one]), way(Https, &[other])],
        vec![way(Udp, &[STRANGER]), way(Https, &[other])],
        vec![way(Udp, &[one]), way(Https, &[QUAD9_EGRESS])],
        vec![way(Udp, &[one]), way(Tcp, &[other])],
    ] {
        assert_eq!(found(|| ways.clone()), None, "{ways:?}");
    }
    let (severity, ..) = found(|| vec![way(Udp, &[HOME]), way(Https, &[other])]).unwrap();
    assert_eq!(severity, Severity::Critical, "home is known by its address");
}

#[test]
fn a_failed_ownership_lookup_resolves_no_incident() {
    let mut world = World::protected();
    rounds(&mut world, 2, || vec![way(Udp, &[STRANGER]), way(Https, &[QUAD9_EGRESS])]);
    let assessment = rounds(&mut world, 1, || vec![way(Udp, &["198.18.77.1"]), way(Https, &[QUAD9_EGRESS])]);
    assert_eq!(kinds(&assessment), [FindingKind::DnsInterception]);
}

#[test]
fn one_round_counts_once_however_many_resolvers_are_asked() {
    let round = |world: &mut World| {
        let ways = vec![way(Udp, &[STRANGER]), way(Https, &[QUAD9_EGRESS])];
        let (resolver, address) = ("Other".to_owned(), attributed("9.9.9.10"));
        let other = InterceptionSeen { resolver, address, transports: ways.clone() };
        world.see([seen(ways), Fact::Interception(other)]);
        kinds(&world.pass(20, all_vpn))
    };
    let mut world = World::protected();
    assert_eq!(round(&mut world), []);
    assert_eq!(round(&mut world), [FindingKind::DnsInterception]);
}

#[test]
fn the_vpn_provider_is_identified_by_the_exit_last_agreed_on() {
    let ways = || vec![way(Udp, &[VPN]), way(Https, &[QUAD9_EGRESS])];
    let mute = || vec![silent(FRA, Family::V4), silent(SERVER, Family::V4)];
    let judged = |epoch: bool, egress: &'static str| {
        let mut world = World::protected();
        if epoch {
            world.network_change();
            world.see(tunnelled());
        }
        for _ in 0..2 {
            world.see([seen(if egress == VPN {
                ways()
            } else {
                vec![way(Udp, &[egress]), way(Https, &[QUAD9_EGRESS])]
            })]);
            world.pass(10, mute);
        }
        let found = world.assess().shown.findings;
        found.into_iter().find(|f| f.kind == FindingKind::DnsInterception).map(|finding| finding.severity)
    };
    assert_eq!(judged(false, VPN), Some(Severity::Information));
    assert_eq!(judged(false, STRANGER), Some(Severity::Warning));
    assert_eq!(judged(true, VPN), None, "nobody has said yet where the exit is in this network");
    assert_eq!(judged(true, HOME_RESOLVER), Some(Severity::Critical));
}

#[test]
fn without_a_vpn_an_interception_is_not_reported() {
    let mut world = World::new(policy());
    world.see([interfaces(false), route("8.8.8.8", "eth0")]);
    world.see([seen(vec![way(Udp, &[HOME_RESOLVER]), way(Https, &[QUAD9_EGRESS])])]);
    let assessment = world.pass(10, all_home);
    assert_eq!(assessment.shown.verdict.verdict, Verdict::Off);
    assert!(assessment.shown.findings.is_empty() && world.notices.is_empty());
}

fn egress_addresses() -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(
        prop_oneof![Just(QUAD9_EGRESS), Just(STRANGER), Just(HOME_RESOLVER), Just(VPN)],
        0..3,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_plain_transport_that_shares_an_egress_with_an_authenticated_one_is_never_blamed(
        rounds in prop::collection::vec((egress_addresses(), egress_addresses()), 1..6),
    ) {
        let mut world = World::protected();
        for (mut plain, truth) in rounds {
            plain.extend(truth.first());
            if truth.is_empty() {
                plain.clear();
            }
            world.see([seen(vec![way(Udp, &plain), way(Https, &truth)])]);
            let assessment = world.pass(5, all_vpn);
            prop_assert!(!kinds(&assessment).contains(&FindingKind::DnsInterception), "{plain:?} {truth:?}");
        }
    }
}
