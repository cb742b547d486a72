//! What names resolve to; each step of the decision beside its fault-free twin.

mod world;

use sentinel_model::*;
use world::*;

const OTHERS: [&str; 2] = ["192.0.2.80", "2001:db8:1::80"];

fn answer(addresses: &[&str]) -> ResolvedName {
    ResolvedName {
        addresses: addresses.iter().map(|text| attributed(text)).collect(),
        ..ResolvedName::default()
    }
}

fn certified(addresses: &[&str], certificate: Certificate) -> ResolvedName {
    ResolvedName { certificate: Some(Outcome::Measured(certificate)), ..answer(addresses) }
}

fn by_alias(addresses: &[&str], canonical: &str) -> ResolvedName {
    ResolvedName { canonical: Some(canonical.to_owned()), ..answer(addresses) }
}

fn said(name: &str, path: AnswerPath, answer: ResolvedName) -> Fact {
    Fact::Answers(AnswersSeen { name: name.to_owned(), path, answer: Outcome::Measured(answer) })
}

/// Returns what is found when both names of the panel are answered like this.
fn tampering(ours: &ResolvedName, others: &[ResolvedName]) -> Option<String> {
    let mut world = World::protected();
    for name in ["a.example", "b.example"] {
        world.see([said(name, AnswerPath::System, ours.clone())]);
        for (index, other) in others.iter().enumerate() {
            world.see([said(name, AnswerPath::Public(format!("public {index}")), other.clone())]);
        }
    }
    let assessment = world.pass(5, all_vpn);
    let finding = assessment.shown.findings.iter().find(|f| f.kind == FindingKind::DnsTampering)?;
    assert_eq!(assessment.shown.verdict.verdict, Verdict::Suspect);
    assert_eq!(world.titles(), ["Names resolve to something else"]);
    Some(finding.sentence.clone())
}

fn agreed() -> Vec<ResolvedName> {
    vec![answer(&OTHERS), answer(&OTHERS)]
}

#[test]
fn a_bogon_is_wrong_even_where_the_others_differ() {
    let spread = [answer(&["192.0.2.80"]), answer(&["198.51.100.80"])];
    assert!(tampering(&answer(&["10.0.0.1"]), &spread).is_some());
    assert!(tampering(&answer(&["10.0.0.1"]), &[answer(&["10.0.0.1"]), answer(&["10.0.0.1"])]).is_none());
}

#[test]
fn a_name_that_only_this_machine_is_denied_or_given_is_wrong() {
    let sentence = tampering(&answer(&[]), &agreed()).unwrap();
    assert!(sentence.starts_with("a.example and b.example do not resolve"), "{sentence}");
    assert!(tampering(&answer(&["192.0.2.200"]), &[answer(&[]), answer(&[])]).is_some());
    assert!(
        tampering(&answer(&[]), &[answer(&OTHERS), answer(&[])]).is_none(),
        "somebody else has none either"
    );
    assert!(tampering(&answer(&["192.0.2.200"]), &[answer(&[]), answer(&OTHERS)]).is_none());
    assert!(tampering(&answer(&[]), &[answer(&OTHERS)]).is_none(), "one source is not enough");
}

#[test]
fn a_server_that_proves_to_be_the_name_exists_whoever_denies_it() {
    let denied = [answer(&[]), answer(&[]), answer(&[])];
    assert!(tampering(&certified(&["192.0.2.200"], Certificate::Valid), &denied).is_none());
    for bad in [Certificate::WrongName, Certificate::Untrusted] {
        assert!(tampering(&certified(&["192.0.2.200"], bad), &denied).is_some(), "{bad:?}");
    }
    let bogon = certified(&["192.0.2.80", "fc00::1"], Certificate::Valid);
    assert!(tampering(&bogon, &agreed()).is_some(), "it proves nothing of the other family");
}

#[test]
fn a_falsified_ipv6_address_does_not_hide_behind_a_right_ipv4_one() {
    let wrong = certified(&["192.0.2.80", "2001:db8:99::66"], Certificate::WrongName);
    assert!(tampering(&wrong, &agreed()).is_some());
    assert!(tampering(&answer(&["192.0.2.80", "fc00::1"]), &agreed()).is_some());
    assert!(tampering(&answer(&OTHERS), &agreed()).is_none());
    assert!(tampering(&answer(&["192.0.2.80"]), &agreed()).is_none(), "a machine without IPv6");
    let translated = answer(&["192.0.2.80", "fc00::192.0.2.80"]);
    assert!(tampering(&translated, &agreed()).is_none(), "NAT64");
}

#[test]
fn the_certificate_decides_where_addresses_do_not() {
    let elsewhere = ["198.51.100.99"];
    assert!(tampering(&certified(&elsewhere, Certificate::WrongName), &agreed()).is_some());
    assert!(tampering(&certified(&elsewhere, Certificate::Valid), &agreed()).is_none());
    assert!(tampering(&certified(&elsewhere, Certificate::Untrusted), &agreed()).is_some());
    let differ = [answer(&["192.0.2.80"]), answer(&["203.0.113.80"])];
    assert!(tampering(&certified(&elsewhere, Certificate::Untrusted), &differ).is_none());
    assert!(
        tampering(&certified(&elsewhere, Certificate::WrongName), &differ).is_none(),
        "nobody to compare with"
    );
}

#[test]
fn the_same_operator_or_alias_explains_other_addresses() {
    let theirs = [answer(&["203.0.113.80"]), answer(&["203.0.113.80"])];
    let bad = Certificate::Untrusted;
    assert!(tampering(&certified(&["203.0.113.200"], bad), &theirs).is_none());
    let cdn = ["a1.g.cdn.example.", "A2.CDN.example"];
    let aliased = [by_alias(&["192.0.2.80"], cdn[0]), by_alias(&["192.0.2.80"], cdn[0])];
    let ours = |alias| ResolvedName {
        certificate: Some(Outcome::Measured(bad)),
        ..by_alias(&["198.51.100.99"], alias)
    };
    assert!(tampering(&ours(cdn[1]), &aliased).is_none());
    assert!(tampering(&ours("x.elsewhere.test"), &aliased).is_some());
}

#[test]
fn content_networks_that_answer_everybody_differently_decide_nothing() {
    let theirs = [answer(&["192.0.2.80"]), answer(&["198.51.100.80"]), answer(&["192.0.2.180"])];
    assert!(tampering(&answer(&["203.0.113.200"]), &theirs).is_none());
    assert!(
        tampering(&answer(&["198.51.100.99"]), &agreed()).is_none(),
        "another address alone proves nothing"
    );
}

#[test]
fn two_nodes_of_one_network_are_one_source() {
    let judged = |second: (&'static str, u32)| {
        let mut world = World::protected();
        world.pass(1, || vec![exit(FRA, VPN), exit(SERVER, VPN), exit(second, VPN)]);
        for name in ["a.example", "b.example"] {
            world.see([said(name, AnswerPath::System, certified(&["192.0.2.99"], Certificate::WrongName))]);
            for (node, _) in [FRA, second] {
                world.see([said(
                    name,
                    AnswerPath::Node(NodeId(node.to_owned())),
                    answer(&["198.51.100.80"]),
                )]);
            }
        }
        kinds(&world.assess()).contains(&FindingKind::DnsTampering)
    };
    assert!(judged(OSLO));
    assert!(!judged(("vps-fra-2", FRA.1)));
}

#[test]
fn two_public_resolvers_of_one_operator_are_one_source() {
    let judged = |second: &str| {
        let mut world = World::protected();
        for (name, address) in [("Quad9", "9.9.9.9"), ("Second", second)] {
            world.see([Fact::Interception(InterceptionSeen {
                resolver: name.to_owned(),
                address: attributed(address),
                transports: [DnsTransport::Udp, DnsTransport::Tls]
                    .map(|transport| TransportSeen {
                        transport,
                        egress_addresses: Outcome::Measured(vec![attributed(address)]),
                        second_answer: false,
                    })
                    .to_vec(),
            })]);
            for site in ["a.example", "b.example"] {
                world.see([said(site, AnswerPath::System, answer(&["192.0.2.200"]))]);
                world.see([said(site, AnswerPath::Public(name.to_owned()), answer(&[]))]);
            }
        }
        kinds(&world.assess()).contains(&FindingKind::DnsTampering)
    };
    assert!(!judged("9.9.9.10"));
    assert!(judged("198.18.9.8"));
}

/// Returns what is found when the names of a panel of five are answered like this, while others are
/// given a public address each.
fn tampering_of_panel(ours: &[&[&str]]) -> Option<String> {
    let mut world = World::protected();
    for (index, addresses) in ours.iter().enumerate() {
        let name = format!("name{index}.example");
        let public = [format!("192.0.2.{}", 80 + index), format!("2001:db8:1::{}", 80 + index)];
        let public = public.each_ref().map(String::as_str);
        world.see([said(&name, AnswerPath::System, answer(addresses))]);
        for other in ["public a", "public b"] {
            world.see([said(&name, AnswerPath::Public(other.to_owned()), answer(&public))]);
        }
    }
    let assessment = world.pass(5, all_vpn);
    let finding = assessment.shown.findings.iter().find(|f| f.kind == FindingKind::DnsTampering);
    if finding.is_none() {
        assert_eq!(assessment.shown.verdict.verdict, Verdict::Protected);
        return Some(assessment.shown.verdict.sentence).filter(|sentence| sentence.contains("a proxy"));
    }
    Some(format!("tampering: {}", finding?.sentence))
}

#[test]
fn a_proxy_that_gives_each_name_a_reserved_address_of_its_own_is_named_and_no_tampering() {
    let fake: [&[&str]; 5] = [&["fc00::4"], &["fc00::5"], &["fc00::6"], &["fc00::7"], &["fc00::8"]];
    let sentence = tampering_of_panel(&fake).unwrap();
    assert!(
        sentence.contains("a proxy on this machine gives each name an address of its own in fc00::/18"),
        "{sentence}"
    );
    let mut with_exception = fake;
    with_exception[0] = &["192.0.2.80"];
    assert!(tampering_of_panel(&with_exception).unwrap().contains("a proxy"));
}

#[test]
fn a_portal_that_gives_all_names_one_reserved_address_is_no_such_proxy() {
    let portal: [&[&str]; 5] = [&["fc00::1"]; 5];
    assert!(tampering_of_panel(&portal).unwrap().starts_with("tampering"));
    let blocked: [&[&str]; 5] = [&["10.0.0.1"]; 5];
    assert!(tampering_of_panel(&blocked).unwrap().starts_with("tampering"));
}

#[test]
fn reserved_addresses_for_a_few_names_among_real_ones_stay_suspicious() {
    let few: [&[&str]; 5] = [&["fc00::4"], &["fc00::5"], &["192.0.2.82"], &["192.0.2.83"], &["192.0.2.84"]];
    assert!(tampering_of_panel(&few).unwrap().starts_with("tampering"));
}
