//! Texts and JSON forms that people, configuration files, stored records and other nodes depend on.
#![allow(clippy::unwrap_used, reason = "a test may fail where it likes")]

use sentinel_model::{
    Announcement, Asn, Clear, Command, ConfiguredResolver, DnsTransport, Entity, Fact, FindingKind, Home,
    Incident, IncidentState, Interceptor, Millis, NetworkKey, Outcome, Reason, Reply, ResolverRole, Rule,
    Severity, Trigger,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fmt::Debug};

const KINDS: [FindingKind; 19] = [
    FindingKind::ExitExposed,
    FindingKind::ExitSuspect,
    FindingKind::ExitUnexpected,
    FindingKind::ExitOperatorChanged,
    FindingKind::ExitAddressChanged,
    FindingKind::DnsLeak,
    FindingKind::DnsForeignResolver,
    FindingKind::DnsTampering,
    FindingKind::DnsInterception,
    FindingKind::LatencyDrop,
    FindingKind::LatencyFloor,
    FindingKind::RouteOutsideTunnel,
    FindingKind::ApplicationOutsideTunnel,
    FindingKind::TunnelDown,
    FindingKind::KillSwitchOpen,
    FindingKind::VoiceDissents,
    FindingKind::WitnessesSilent,
    FindingKind::NodeSilent,
    FindingKind::Offline,
];

/// Asserts that a value is written as this JSON and read back from it.
fn assert_json<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, json: &Value) {
    assert_eq!(serde_json::to_value(value).unwrap(), *json);
    assert_eq!(serde_json::from_value::<T>(json.clone()).unwrap(), *value);
}

#[test]
fn a_kind_of_finding_has_one_name_in_text_and_json() {
    for kind in KINDS {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        assert_eq!(kind.to_string(), kind.name());
    }
}

#[test]
fn every_kind_of_finding_has_a_title_of_its_own() {
    let titles: BTreeSet<_> = KINDS.into_iter().map(|kind| kind.title(None)).collect();
    assert_eq!(titles.len(), KINDS.len(), "{titles:?}");
    for title in titles {
        assert!(title.starts_with(char::is_uppercase) && !title.ends_with(['.', '!']), "{title}");
    }
}

#[test]
fn a_title_names_the_voice_or_node_it_is_about() {
    let voice = Entity::Voice("stun-a".to_owned());
    assert_eq!(FindingKind::VoiceDissents.title(Some(&voice)), "stun-a disagrees with the others");
    let node = Entity::Node("home-server".to_owned());
    assert_eq!(FindingKind::NodeSilent.title(Some(&node)), "home-server has fallen silent");
    let interceptor = Entity::Interceptor(Interceptor::Home);
    let title = FindingKind::DnsInterception.title(Some(&interceptor));
    assert_eq!(title, FindingKind::DnsInterception.title(None));
}

#[test]
fn an_undetermined_measurement_says_why() {
    let reasons = [
        (Reason::TimedOut, "no answer in time"),
        (Reason::Unreachable, "not reachable"),
        (Reason::Refused("HTTP 429".to_owned()), "refused: HTTP 429"),
        (Reason::Malformed("not an address".to_owned()), "invalid answer: not an address"),
        (Reason::Unsupported, "not supported on this system"),
        (Reason::Failed("the socket was closed".to_owned()), "the socket was closed"),
    ];
    for (reason, text) in reasons {
        assert_eq!(reason.to_string(), text);
    }
}

#[test]
fn an_outcome_keeps_its_reason_when_mapped() {
    let measured = Outcome::Measured(2).map(|value| value * 2);
    assert_eq!((measured.measured(), &measured), (Some(&4), &Outcome::Measured(4)));
    let unknown = Outcome::<u8>::Unknown(Reason::TimedOut).map(u32::from);
    assert_eq!((unknown.measured(), &unknown), (None, &Outcome::Unknown(Reason::TimedOut)));
}

#[test]
fn outcomes_and_facts_keep_their_json_form() {
    assert_json(&Outcome::Measured(7), &json!({ "measured": 7 }));
    assert_json(&Outcome::<u8>::Unknown(Reason::TimedOut), &json!({ "unknown": { "because": "timed_out" } }));
    let refused = Outcome::<u8>::Unknown(Reason::Refused("429".to_owned()));
    assert_json(&refused, &json!({ "unknown": { "because": "refused", "detail": "429" } }));
    let fact = Fact::Interfaces(Outcome::Measured(Vec::new()));
    assert_json(&fact, &json!({ "kind": "interfaces", "fact": { "measured": [] } }));
}

#[test]
fn a_resolver_recorded_without_a_role_has_an_unspecified_one() {
    let recorded = json!({ "address": "192.0.2.53", "interface": null });
    let resolver: ConfiguredResolver = serde_json::from_value(recorded).unwrap();
    assert_eq!(resolver.role, ResolverRole::Unspecified);
}

#[test]
fn queries_are_bound_to_an_interface_for_forwarded_scoped_and_link_local_resolvers() {
    let bound = |address: &str, role| {
        let resolver = ConfiguredResolver {
            address: address.parse().unwrap(),
            interface: Some("eth0".to_owned()),
            role,
        };
        resolver.bound_to().map(str::to_owned)
    };
    let eth0 = Some("eth0".to_owned());
    assert_eq!(bound("192.0.2.53", ResolverRole::Forwarded), eth0);
    assert_eq!(bound("192.0.2.53", ResolverRole::Scoped), eth0);
    assert_eq!(bound("192.0.2.53", ResolverRole::First), None);
    assert_eq!(bound("fe80::1", ResolverRole::First), eth0);
    assert_eq!(bound("169.254.1.1", ResolverRole::Unspecified), eth0);
}

#[test]
fn roles_say_who_queries_a_resolver_and_for_which_names() {
    use ResolverRole::{Fallback, First, Forwarded, ForwardedElsewhere, Scoped, Unspecified};
    let all = [First, Fallback, Forwarded, ForwardedElsewhere, Scoped, Unspecified];
    assert_eq!(all.map(ResolverRole::asked_by_applications), [true, true, false, false, false, false]);
    assert_eq!(all.map(ResolverRole::gets_all_names), [true, false, true, true, false, false]);
}

#[test]
fn only_encrypted_dns_is_authenticated() {
    let transports = [DnsTransport::Udp, DnsTransport::Tcp, DnsTransport::Tls, DnsTransport::Https];
    assert_eq!(transports.map(DnsTransport::is_authenticated), [false, false, true, true]);
    assert_eq!(transports.map(|transport| transport.to_string()), ["UDP", "TCP", "TLS", "HTTPS"]);
}

#[test]
fn a_rule_notifies_with_the_severity_of_the_finding_unless_it_states_otherwise() {
    let brief = json!({
        "id": "exit-exposed", "finding": "exit-exposed", "trigger": "at_once", "clear": { "absent_for": 30_000 }
    });
    let rule: Rule = serde_json::from_value(brief.clone()).unwrap();
    assert_eq!((rule.severity, rule.notify, rule.trigger), (None, true, Trigger::AtOnce));
    assert_eq!(rule.clear, Clear { absent_for: Millis::secs(30) });
    let mut stated = brief.clone();
    stated["severity"] = json!("warning");
    stated["notify"] = json!(false);
    let rule: Rule = serde_json::from_value(stated).unwrap();
    assert_eq!((rule.severity, rule.notify), (Some(Severity::Warning), false));
    let mut misspelt = brief;
    misspelt["notfy"] = json!(false);
    let error = serde_json::from_value::<Rule>(misspelt).unwrap_err().to_string();
    assert!(error.contains("notfy"), "{error}");
}

#[test]
fn triggers_keep_their_json_form() {
    assert_json(&Trigger::AtOnce, &json!("at_once"));
    assert_json(&Trigger::Samples { hits: 3, of: 5 }, &json!({ "samples": { "hits": 3, "of": 5 } }));
    assert_json(&Trigger::For(Millis::secs(60)), &json!({ "for": 60_000 }));
}

#[test]
fn commands_and_replies_keep_their_json_form() {
    assert_json(&Command::CheckNow, &json!({ "command": "check_now" }));
    assert_json(&Command::Pause { until: None }, &json!({ "command": "pause", "until": null }));
    let addresses = vec!["198.51.100.142".parse().unwrap()];
    let set_home = json!({ "command": "set_home", "addresses": ["198.51.100.142"] });
    assert_json(&Command::SetHome { addresses }, &set_home);
    assert_json(&Reply::Done, &json!({ "reply": "done" }));
    let shown = serde_json::to_value(Reply::Home { home: Home::default() }).unwrap();
    assert_eq!((&shown["reply"], &shown["home"]["addresses"]), (&json!("home"), &json!([])));
}

#[test]
fn only_a_node_on_the_home_line_announces_addresses() {
    let announced = json!({
        "verdict": "Protected", "since": 1, "open_incidents": 0, "leaving": false, "at": 2
    });
    let announcement: Announcement = serde_json::from_value(announced.clone()).unwrap();
    assert!(announcement.home_exit.is_empty());
    assert_eq!(serde_json::to_value(announcement).unwrap(), announced, "an empty list is left out");
}

#[test]
fn pending_and_resolved_incidents_are_not_open() {
    use IncidentState::{Firing, Pending, Recovering, Resolved, Unknown};
    let open = [Pending, Firing, Recovering, Resolved, Unknown].map(IncidentState::is_open);
    assert_eq!(open, [false, true, true, false, true]);
}

#[test]
fn an_incident_is_identified_by_kind_family_and_entity() {
    let body = json!({
        "id": "i", "rule": "r", "kind": "kill-switch-open", "family": "v6", "entity": "interface:eth0",
        "severity": "warning", "state": "firing", "title": "t", "sentence": "s", "advice": "a",
        "evidence": [], "opened": { "boot": 1, "wall": 2 }, "changed": { "boot": 3, "wall": 4 },
        "acknowledged": null
    });
    let incident: Incident = serde_json::from_value(body.clone()).unwrap();
    assert_json(&incident, &body);
    let mut other = incident.clone();
    other.entity = Some(Entity::Interface("wlan0".to_owned()));
    assert_ne!(incident.key(), other.key());
    other.entity = incident.entity.clone();
    other.state = IncidentState::Resolved;
    assert_eq!(incident.key(), other.key());
}

#[test]
fn the_network_of_a_voice_is_written_as_before_and_by_name_where_its_address_is_hidden() {
    for (key, json) in [
        (NetworkKey::Asn(Asn(64_500)), r#"{"asn":64500}"#),
        (NetworkKey::of_prefix("192.0.2.1".parse().unwrap()), r#"{"prefix":"192.0.0.0/16"}"#),
        (NetworkKey::Named("stun.example".into()), r#"{"named":"stun.example"}"#),
    ] {
        assert_eq!(serde_json::to_string(&key).unwrap(), json);
        assert_eq!(serde_json::from_str::<NetworkKey>(json).unwrap(), key);
    }
}
