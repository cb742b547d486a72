//! What follows from the routes: traffic that leaves outside the tunnel, and a tunnel that is gone.

use super::{
    kill_switch::BlockedTraffic,
    route_table::{RouteTable, is_outside},
};
use crate::part_result::{FindingDraft, JudgeContext, PartResult};
use sentinel_model::{Evidence, Family, FindingKind, Moment, Outcome, Reason, RouteSeen, Severity, Weight};

impl RouteTable {
    /// Rules on the routes of each family and on the tunnel itself.
    /// `held` is what does not get out past the tunnel.
    pub fn evaluate(&mut self, held: &BlockedTraffic, context: &JudgeContext<'_>) -> PartResult {
        let mut result = PartResult::default();
        for family in Family::ALL {
            self.rule_routes(family, held, context, &mut result);
        }
        let family = self.main_family(context.policy);
        match family.and_then(|family| self.up(family, context)) {
            Some(true) => {
                self.missing = None;
                result.determine(FindingKind::TunnelDown, None);
            }
            Some(false) => {
                let since =
                    *self.missing.get_or_insert(self.interfaces.as_ref().map_or(context.now, |i| i.1));
                let details =
                    self.holds_back(held, context).then(|| "The kill switch holds traffic back.".to_owned());
                if let Some(draft) = self.down(since, context) {
                    let details = details.as_slice();
                    result.findings.push(FindingDraft { details, ..draft }.finish(context));
                }
            }
            None => {}
        }
        result
    }

    /// The ways into the world that leave outside the tunnel.
    pub(super) fn outside<'a>(
        &'a self,
        family: Family,
        context: &'a JudgeContext<'_>,
    ) -> Vec<(&'a RouteSeen, &'a str, Moment)> {
        let mut outside: Vec<_> = self
            .outbound(family, context)
            .filter_map(|(route, at)| {
                let taken = route.taken.measured()?;
                let outside = is_outside(&taken.interface, taken.kind, context.policy);
                outside.then_some((route, taken.interface.as_str(), at))
            })
            .collect();
        outside.dedup_by_key(|(route, ..)| route.destination.to_canonical());
        outside
    }

    /// Whether a kill switch holds back what the tunnel carried, and nothing is known to pass it by.
    fn holds_back(&self, held: &BlockedTraffic, context: &JudgeContext<'_>) -> bool {
        let passes = |family| {
            let outside = self.outside(family, context);
            outside.iter().any(|(_, interface, _)| !held.holds(family, interface))
        };
        self.main_family(context.policy).is_some_and(|family| held.holds_all(family))
            && !Family::ALL.into_iter().any(passes)
    }

    fn rule_routes(
        &self,
        family: Family,
        held: &BlockedTraffic,
        context: &JudgeContext<'_>,
        result: &mut PartResult,
    ) {
        let global: Vec<_> = self.global(family, context).collect();
        let mut outside = self.outside(family, context);
        let told = |(route, _): &(&RouteSeen, Moment)| {
            matches!(route.taken, Outcome::Measured(_) | Outcome::Unknown(Reason::Unreachable))
        };
        if outside.is_empty() {
            if !global.is_empty() && global.iter().all(told) {
                result.determine(FindingKind::RouteOutsideTunnel, Some(family));
            }
            return;
        }
        // Nothing goes where the routes point while a kill switch holds it back.
        outside.retain(|(_, interface, _)| !held.holds(family, interface));
        let Some((first, interface, since)) = outside.first() else { return };
        // A tunnel that is gone takes its routes with it: that is a finding of its own.
        let (Some(tunnel), Some(true)) = (self.name(family, context.policy), self.up(family, context)) else {
            return;
        };
        let more = match outside.len() - 1 {
            0 => String::new(),
            1 => " and 1 more destination".to_owned(),
            more => format!(" and {more} more destinations"),
        };
        let evidence = |(route, interface, at): &(&RouteSeen, &str, Moment)| Evidence {
            voice: None,
            saw: format!("the way to {} leaves by {interface}", route.destination),
            at: at.wall,
        };
        let draft = FindingDraft {
            kind: FindingKind::RouteOutsideTunnel,
            family: Some(family),
            entity: None,
            severity: Severity::Critical,
            weight: Weight::Proof,
            fact: format!("Packets to {}{more} leave by {interface} instead of {tunnel}", first.destination),
            details: &[],
            advice: "Reconnect the VPN or go offline.",
            evidence: outside.iter().take(8).map(evidence).collect(),
            since: outside.iter().map(|(_, _, at)| *at).min_by_key(|at| at.boot).unwrap_or(*since),
        };
        result.findings.push(draft.finish(context));
    }

    fn down<'a>(&self, since: Moment, context: &JudgeContext<'_>) -> Option<FindingDraft<'a>> {
        let family = self.main_family(context.policy)?;
        let fact = self.gone(family, context)?;
        Some(FindingDraft {
            kind: FindingKind::TunnelDown,
            family: None,
            entity: None,
            severity: Severity::Warning,
            weight: Weight::Proof,
            evidence: vec![Evidence { voice: None, saw: fact.clone(), at: since.wall }],
            fact,
            details: &[],
            advice: "Reconnect the VPN or go offline.",
            since,
        })
    }

    /// `The tunnel wg0 is gone`, if it is.
    pub(super) fn gone(&self, family: Family, context: &JudgeContext<'_>) -> Option<String> {
        if self.up(family, context)? {
            return None;
        }
        let name = self.name(family, context.policy)?;
        let Some((Outcome::Measured(interfaces), ..)) = &self.interfaces else { return None };
        let there = interfaces.iter().any(|interface| interface.name == name);
        Some(format!("The tunnel {name} is {}", if there { "down" } else { "gone" }))
    }
}
