//! The rules a node starts with: proof fires at once, statistics and silence need repetition.

use sentinel_model::{Clear, FindingKind, Millis, Rule, RuleId, Trigger};

/// Returns one rule per kind of finding, named after it.
///
/// A lost route or tunnel fires after a short delay: within it the voices usually confirm what it
/// means, so that the person is notified once ("Your real address is visible") instead of twice.
/// The verdict does not wait.
pub fn default_rules() -> Vec<Rule> {
    use FindingKind as Kind;
    const SAMPLES: Trigger = Trigger::Samples { hits: 3, of: 5 };
    let loud = |kind, trigger, absent_for| rule(kind, trigger, absent_for, true);
    let quiet = |kind| rule(kind, Trigger::AtOnce, Millis(0), false);
    vec![
        loud(Kind::ExitExposed, Trigger::AtOnce, Millis::secs(5)),
        loud(Kind::ExitSuspect, SAMPLES, Millis::secs(10)),
        loud(Kind::ExitUnexpected, Trigger::AtOnce, Millis::secs(5)),
        loud(Kind::ExitOperatorChanged, Trigger::AtOnce, Millis(0)),
        quiet(Kind::ExitAddressChanged),
        loud(Kind::DnsLeak, Trigger::AtOnce, Millis::secs(5)),
        quiet(Kind::DnsForeignResolver),
        loud(Kind::DnsTampering, SAMPLES, Millis::secs(30)),
        loud(Kind::DnsInterception, SAMPLES, Millis::secs(30)),
        loud(Kind::LatencyDrop, SAMPLES, Millis::secs(30)),
        loud(Kind::LatencyFloor, SAMPLES, Millis::secs(30)),
        loud(Kind::RouteOutsideTunnel, Trigger::For(Millis(1_500)), Millis::secs(5)),
        loud(Kind::ApplicationOutsideTunnel, Trigger::AtOnce, Millis::secs(5)),
        loud(Kind::TunnelDown, Trigger::For(Millis::secs(5)), Millis::secs(5)),
        loud(Kind::WitnessesSilent, Trigger::For(Millis::secs(60)), Millis::secs(5)),
        loud(Kind::NodeSilent, Trigger::For(Millis::secs(30)), Millis::secs(5)),
        quiet(Kind::KillSwitchOpen),
        quiet(Kind::VoiceDissents),
        quiet(Kind::Offline),
    ]
}

/// Returns the default rule for a kind, for an incident whose own rule no longer exists.
pub(super) fn fallback_rule(kind: FindingKind) -> Rule {
    rule(kind, Trigger::AtOnce, Millis::secs(5), true)
}

fn rule(kind: FindingKind, trigger: Trigger, absent_for: Millis, notify: bool) -> Rule {
    Rule {
        id: RuleId(kind.name().to_owned()),
        finding: kind,
        trigger,
        clear: Clear { absent_for },
        severity: None,
        notify,
    }
}
