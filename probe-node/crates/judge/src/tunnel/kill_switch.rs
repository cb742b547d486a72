//! Whether anything but the routes keeps traffic in the tunnel.
//!
//! It is tested by sending packets past the tunnel: a router's answer proves that they get out, the
//! kernel's refusal that they do not. Silence proves neither.

use crate::{
    bounded::{BoundedMap, LastUsed},
    context::JudgeContext,
    dated::Dated,
    part_result::{FindingDraft, PartResult, own_evidence},
};
use sentinel_model::{
    Entity, Family, FindingKind, KillSwitch, KillSwitchSeen, Moment, Monotonic, Outcome, PerFamily,
    PhysicalEgress, Reason, Severity, Weight,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// How many interfaces, times families, are remembered.
const TESTS: usize = 32;

/// The last conclusive test of one interface and family.
#[derive(Clone, Debug)]
struct KillSwitchTest {
    egress: Dated<PhysicalEgress>,
    /// Since when tests have had this result without a break.
    since: Moment,
}

impl LastUsed for KillSwitchTest {
    fn last_used(&self) -> Monotonic {
        self.egress.last_used()
    }
}

/// The last conclusive tests, by family and interface.
#[derive(Clone, Debug, Default)]
pub(crate) struct KillSwitchTests {
    tests: BoundedMap<(Family, String), KillSwitchTest, TESTS>,
    /// Why no packet could be sent at the last attempt, where none could.
    failures: BoundedMap<(Family, String), Dated<Reason>, TESTS>,
}

/// What a kill switch is known to block.
///
/// Untested families and interfaces are not included.
#[derive(Clone, Debug, Default)]
pub(crate) struct BlockedTraffic {
    closed: PerFamily<BTreeSet<String>>,
    is_open: PerFamily<bool>,
    untested: PerFamily<BTreeMap<String, String>>,
    is_testing_off: bool,
}

impl BlockedTraffic {
    /// Returns true if no packet of a family gets out by an interface.
    pub fn blocks(&self, family: Family, interface: &str) -> bool {
        self.closed[family].contains(interface)
    }

    /// Returns why it was not tried whether packets of a family get out by an interface, if it was
    /// not.
    ///
    /// A test that is still to come or that nothing answered does not count as such a reason.
    pub fn describe_untested(&self, family: Family, interface: &str) -> Option<String> {
        if self.is_testing_off {
            return Some("past_tunnel is off".to_owned());
        }
        self.untested[family].get(interface).cloned()
    }

    /// Returns true if no packet of a family gets out by any interface that was tested.
    pub fn blocks_all(&self, family: Family) -> bool {
        !self.is_open[family] && !self.closed[family].is_empty()
    }
}

impl KillSwitchTests {
    /// Records one test; an inconclusive one leaves the result of the one before.
    pub fn record(&mut self, seen: &Dated<&KillSwitchSeen>) {
        let key = (seen.value.family, seen.value.interface.clone());
        let egress = match &seen.value.egress {
            Outcome::Measured(egress) => *egress,
            Outcome::Unknown(reason @ (Reason::Failed(_) | Reason::Unsupported)) => {
                self.failures.insert(key, seen.with(reason.clone()));
                return;
            }
            Outcome::Unknown(_) => return,
        };
        self.failures.remove(&key);
        let is_open = |egress: &PhysicalEgress| matches!(egress, PhysicalEgress::Open { .. });
        let unbroken = self.tests.get(&key).filter(|before| {
            before.egress.epoch == seen.epoch && is_open(&before.egress.value) == is_open(&egress)
        });
        let since = unbroken.map_or(seen.at, |before| before.since);
        self.tests.insert(key, KillSwitchTest { egress: seen.with(egress), since });
    }

    /// Returns the tests made in this epoch.
    fn current<'a>(
        &'a self,
        context: &JudgeContext<'_>,
    ) -> impl Iterator<Item = (&'a (Family, String), &'a KillSwitchTest)> {
        let epoch = context.epoch;
        self.tests.iter().filter(move |(_, test)| test.egress.epoch == epoch)
    }

    /// Returns the kill switch as the snapshot shows it: open if packets get out by any interface.
    pub fn state(&self, context: &JudgeContext<'_>) -> Option<KillSwitch> {
        let mut state = None;
        for (_, test) in self.current(context) {
            match test.egress.value {
                PhysicalEgress::Open { .. } => return Some(KillSwitch::Open),
                PhysicalEgress::Closed => state = Some(KillSwitch::Closed),
            }
        }
        state
    }

    /// Returns what the recent tests found blocked.
    ///
    /// Tests from before the last network change count while voices from then do.
    pub fn blocked(&self, context: &JudgeContext<'_>) -> BlockedTraffic {
        let mut blocked =
            BlockedTraffic { is_testing_off: !context.policy.tests_past_tunnel, ..BlockedTraffic::default() };
        for ((family, interface), failure) in self.failures.iter().filter(|(_, it)| context.is_recent(it.at))
        {
            blocked.untested[*family].insert(interface.clone(), failure.value.to_string());
        }
        for ((family, interface), test) in self.tests.iter() {
            let counts = test.egress.epoch == context.epoch || context.in_grace();
            if !counts || !context.is_recent(test.egress.at) {
                continue;
            }
            match test.egress.value {
                PhysicalEgress::Closed => {
                    blocked.closed[*family].insert(interface.clone());
                }
                PhysicalEgress::Open { .. } => blocked.is_open[*family] = true,
            }
        }
        blocked
    }

    /// Evaluates every interface, where the user expects a kill switch.
    ///
    /// An open kill switch does not mean that anything has leaked.
    ///
    /// Where voices see the accepted exit by the same interface, as behind a VPN on the router or
    /// under an IPsec policy, an answer does not show that anything got out past it:
    /// `is_protected` returns true for such an interface.
    pub fn evaluate(
        &self,
        is_protected: impl Fn(Family, &str) -> bool,
        context: &JudgeContext<'_>,
    ) -> PartResult {
        let mut result = PartResult::default();
        if !context.policy.expectation.kill_switch {
            return result;
        }
        let tested = self.current(context);
        for ((family, interface), test) in tested.filter(|((family, name), _)| !is_protected(*family, name)) {
            match test.egress.value {
                PhysicalEgress::Closed => {
                    let entity = Entity::Interface(interface.clone());
                    result.determine_entity(FindingKind::KillSwitchOpen, Some(*family), entity);
                }
                PhysicalEgress::Open { by } => {
                    result.findings.push(draft(*family, interface, by, test).finish(context));
                }
            }
        }
        result
    }
}

fn draft<'a>(family: Family, interface: &str, by: IpAddr, test: &KillSwitchTest) -> FindingDraft<'a> {
    FindingDraft {
        kind: FindingKind::KillSwitchOpen,
        family: Some(family),
        entity: Some(Entity::Interface(interface.to_owned())),
        severity: Severity::Warning,
        weight: Weight::Proof,
        fact: format!("Packets bound to {interface} get out past the tunnel over {family}"),
        details: &[],
        advice: "Switch on your VPN's kill switch.",
        evidence: vec![own_evidence(format!("{by} answered"), test.egress.at)],
        since: test.since,
    }
}
