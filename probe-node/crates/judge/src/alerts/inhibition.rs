//! Which findings explain others: a leak is reported once, by its gravest finding.

use crate::part_result::PartResult;
use sentinel_model::{Family, Finding, FindingKey, FindingKind, Timestamp};

/// A finding that may inhibit others, since the person is notified of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cause {
    kind: FindingKind,
    family: Option<Family>,
    /// Whether its rule has fired.
    has_fired: bool,
    acknowledged: Option<Timestamp>,
}

impl Cause {
    /// Describes a tracked finding.
    pub fn new(key: &FindingKey, has_fired: bool, acknowledged: Option<Timestamp>) -> Self {
        Self { kind: key.kind, family: key.family, has_fired, acknowledged }
    }

    /// Returns true if both concern the same family, and the finding began before the person
    /// acknowledged the cause.
    fn concerns(&self, finding: &Finding) -> bool {
        let is_related = self.family.is_none() || finding.family.is_none() || self.family == finding.family;
        is_related && self.acknowledged.is_none_or(|at| finding.since.wall <= at)
    }
}

/// Returns true if a graver finding explains this one.
///
/// - No network explains everything.
/// - The exit explains its own family's routes and round trips, the DNS, and single programs.
/// - A lost tunnel or route explains round trips, single programs and silence; it explains the DNS
///   only until its own rule has fired, since names that leave the tunnel beside it are news.
///
/// A rule with `notify = false` inhibits nothing.
pub(super) fn is_inhibited(finding: &Finding, result: &PartResult, causes: &[Cause]) -> bool {
    use FindingKind as Kind;
    const EXIT: [Kind; 2] = [Kind::ExitExposed, Kind::ExitUnexpected];
    const TUNNEL: [Kind; 2] = [Kind::TunnelDown, Kind::RouteOutsideTunnel];
    let any =
        |kinds: &[Kind]| causes.iter().any(|cause| kinds.contains(&cause.kind) && cause.concerns(finding));
    let about_to_fire = |kinds: &[Kind]| {
        let mut candidates = causes.iter().filter(|cause| !cause.has_fired);
        candidates.any(|cause| kinds.contains(&cause.kind) && cause.concerns(finding))
    };
    let explains_dns = || any(&EXIT) || about_to_fire(&TUNNEL);
    let explains_latency = || any(&EXIT) || any(&TUNNEL);
    if finding.kind != Kind::Offline && result.contains(Kind::Offline, None) {
        return true;
    }
    match finding.kind {
        Kind::DnsLeak | Kind::DnsForeignResolver | Kind::DnsTampering => explains_dns(),
        Kind::DnsInterception => explains_dns() || any(&[Kind::DnsLeak]),
        Kind::LatencyFloor | Kind::ApplicationOutsideTunnel => explains_latency(),
        Kind::LatencyDrop => explains_latency() || any(&[Kind::LatencyFloor]),
        Kind::ExitSuspect
        | Kind::ExitOperatorChanged
        | Kind::ExitAddressChanged
        | Kind::RouteOutsideTunnel
        | Kind::TunnelDown => any(&EXIT),
        Kind::WitnessesSilent => any(&EXIT) || any(&[Kind::TunnelDown]),
        Kind::NodeSilent => any(&[Kind::WitnessesSilent]),
        Kind::ExitUnexpected => any(&[Kind::ExitExposed]),
        Kind::ExitExposed | Kind::KillSwitchOpen | Kind::VoiceDissents | Kind::Offline => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::{Moment, Monotonic, Severity, Weight};

    fn finding(kind: FindingKind, family: Option<Family>) -> Finding {
        Finding {
            kind,
            family,
            entity: None,
            severity: Severity::Critical,
            weight: Weight::Proof,
            title: String::new(),
            sentence: String::new(),
            advice: String::new(),
            evidence: Vec::new(),
            since: Moment { boot: Monotonic(0), wall: Timestamp(5) },
        }
    }

    fn cause(kind: FindingKind, family: Option<Family>, acknowledged: Option<i64>) -> Cause {
        let key = FindingKey { kind, family, entity: None };
        Cause::new(&key, true, acknowledged.map(Timestamp))
    }

    #[test]
    fn an_exit_explains_routes_of_its_own_family_only() {
        let exposed = cause(FindingKind::ExitExposed, Some(Family::V4), None);
        let is_inhibited =
            |kind, family| is_inhibited(&finding(kind, family), &PartResult::default(), &[exposed]);
        assert!(is_inhibited(FindingKind::RouteOutsideTunnel, Some(Family::V4)));
        assert!(!is_inhibited(FindingKind::RouteOutsideTunnel, Some(Family::V6)));
        assert!(is_inhibited(FindingKind::DnsLeak, None), "the DNS concerns both");
        assert!(!is_inhibited(FindingKind::KillSwitchOpen, Some(Family::V4)));
    }

    #[test]
    fn an_acknowledged_cause_explains_only_what_began_before() {
        let is_inhibited = |acknowledged| {
            let exposed = cause(FindingKind::ExitExposed, None, Some(acknowledged));
            is_inhibited(&finding(FindingKind::DnsLeak, None), &PartResult::default(), &[exposed])
        };
        assert!(is_inhibited(5));
        assert!(!is_inhibited(4));
    }
}
