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
    Entity, Family, FindingKind, KillSwitch, KillSwitchSeen, Moment, Monotonic, PerFamily, PhysicalEgress,
    Severity, Weight,
};
use std::{collections::BTreeSet, net::IpAddr};

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
}

/// What a kill switch is known to block.
///
/// Untested families and interfaces are not included.
#[derive(Clone, Debug, Default)]
pub(crate) struct BlockedTraffic {
    closed: PerFamily<BTreeSet<String>>,
    is_open: PerFamily<bool>,
}

impl BlockedTraffic {
    /// Returns true if no packet of a family gets out by an interface.
    pub fn blocks(&self, family: Family, interface: &str) -> bool {
        self.closed[family].contains(interface)
    }

    /// Returns true if no packet of a family gets out by any interface that was tested.
    pub fn blocks_all(&self, family: Family) -> bool {
        !self.is_open[family] && !self.closed[family].is_empty()
    }
}

impl KillSwitchTests {
    /// Records one test; an inconclusive one changes nothing.
    pub fn record(&mut self, seen: &Dated<&KillSwitchSeen>) {
        let Some(egress) = seen.value.egress.measured().copied() else { return };
        let key = (seen.value.family, seen.value.interface.clone());
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
        let mut blocked = BlockedTraffic::default();
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
    pub fn evaluate(&self, context: &JudgeContext<'_>) -> PartResult {
        let mut result = PartResult::default();
        if !context.policy.expectation.kill_switch {
            return result;
        }
        for ((family, interface), test) in self.current(context) {
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
