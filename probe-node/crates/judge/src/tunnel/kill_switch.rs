//! Whether anything but the routes keeps traffic in the tunnel. Told by trying to get out past it: a router's answer
//! proves a way out, the kernel's refusal that there is none. Silence proves neither.

use crate::part_result::{FindingDraft, JudgeContext, PartResult, Question};
use sentinel_model::{
    Entity, Epoch, Evidence, Family, FindingKind, KillSwitch, KillSwitchSeen, Moment, PhysicalEgress,
    Severity, Weight,
};
use std::collections::{BTreeMap, BTreeSet};

/// How many interfaces, times families, are remembered.
const WAYS: usize = 32;

#[derive(Clone, Debug)]
struct KillSwitchTest {
    egress: PhysicalEgress,
    at: Moment,
    epoch: Epoch,
    since: Moment,
}

/// What came of trying to get out past the tunnel, by interface and family.
#[derive(Clone, Debug, Default)]
pub(crate) struct KillSwitchTests {
    attempts: BTreeMap<(Family, String), KillSwitchTest>,
}

/// What a kill switch is known to hold back. A family or an interface nothing was learnt of is not among it.
#[derive(Clone, Debug, Default)]
pub(crate) struct BlockedTraffic {
    closed: BTreeSet<(Family, String)>,
    open: BTreeSet<Family>,
}

impl BlockedTraffic {
    /// Whether nothing of a family gets out by an interface.
    pub fn holds(&self, family: Family, interface: &str) -> bool {
        self.closed.iter().any(|(of, name)| *of == family && name == interface)
    }

    /// Whether nothing of a family gets out by any interface that was tried.
    pub fn holds_all(&self, family: Family) -> bool {
        !self.open.contains(&family) && self.closed.iter().any(|(of, _)| *of == family)
    }
}

impl KillSwitchTests {
    /// Takes in one attempt. One that said neither leaves what was known.
    pub fn observe(&mut self, seen: &KillSwitchSeen, at: Moment, epoch: Epoch) {
        let Some(egress) = seen.egress.measured().copied() else { return };
        let key = (seen.family, seen.interface.clone());
        let open = |egress: &PhysicalEgress| matches!(egress, PhysicalEgress::Open { .. });
        let before = self.attempts.get(&key);
        let unbroken = before.filter(|b| b.epoch == epoch && open(&b.egress) == open(&egress));
        let since = unbroken.map_or(at, |before| before.since);
        self.attempts.insert(key, KillSwitchTest { egress, at, epoch, since });
        while self.attempts.len() > WAYS {
            let oldest = self.attempts.iter().min_by_key(|(_, a)| a.at.boot).map(|(key, _)| key.clone());
            let Some(key) = oldest else { return };
            self.attempts.remove(&key);
        }
    }

    fn current<'a>(
        &'a self,
        context: &JudgeContext<'_>,
    ) -> impl Iterator<Item = (&'a (Family, String), &'a KillSwitchTest)> {
        let epoch = context.epoch;
        self.attempts.iter().filter(move |(_, attempt)| attempt.epoch == epoch)
    }

    /// The kill switch as the snapshot shows it: one way out is enough for it to be open.
    pub fn state(&self, context: &JudgeContext<'_>) -> Option<KillSwitch> {
        let mut state = None;
        for (_, attempt) in self.current(context) {
            match attempt.egress {
                PhysicalEgress::Open { .. } => return Some(KillSwitch::Open),
                PhysicalEgress::Closed => state = Some(KillSwitch::Closed),
            }
        }
        state
    }

    /// What is known to be held back, as was tried lately in this very network. Until it has been tried again, what was
    /// found before the network changed stands for a moment, like a voice's word.
    pub fn held(&self, context: &JudgeContext<'_>) -> BlockedTraffic {
        let ttl = context.policy.thresholds.round_ttl;
        let mut held = BlockedTraffic::default();
        for ((family, interface), attempt) in &self.attempts {
            let counts = attempt.epoch == context.epoch || context.in_grace();
            if !counts || context.age(attempt.at) > ttl {
                continue;
            }
            match attempt.egress {
                PhysicalEgress::Closed => held.closed.insert((*family, interface.clone())),
                PhysicalEgress::Open { .. } => held.open.insert(*family),
            };
        }
        held
    }

    /// Rules on every interface, where the user expects a kill switch. It never says that anything has leaked.
    pub fn evaluate(&self, context: &JudgeContext<'_>) -> PartResult {
        let mut result = PartResult::default();
        if !context.policy.expectation.kill_switch {
            return result;
        }
        for ((family, interface), attempt) in self.current(context) {
            let PhysicalEgress::Open { by } = attempt.egress else {
                result.determined.push(Question {
                    kind: FindingKind::KillSwitchOpen,
                    family: Some(*family),
                    entity: Some(Entity::Interface(interface.clone())),
                });
                continue;
            };
            let draft = FindingDraft {
                kind: FindingKind::KillSwitchOpen,
                family: Some(*family),
                entity: Some(Entity::Interface(interface.clone())),
                severity: Severity::Warning,
                weight: Weight::Proof,
                fact: format!("Packets bound to {interface} get out past the tunnel over {family}"),
                details: &[],
                advice: "Switch on your VPN's kill switch.",
                evidence: vec![Evidence { voice: None, saw: format!("{by} answered"), at: attempt.at.wall }],
                since: attempt.since,
            };
            result.findings.push(draft.finish(context));
        }
        result
    }
}
