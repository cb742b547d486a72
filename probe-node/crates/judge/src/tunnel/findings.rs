//! What follows from the routes: traffic that leaves outside the tunnel, and a tunnel that is down.

use super::{kill_switch::BlockedTraffic, route_queries::OutsideRoute, route_table::RouteTable};
use crate::{
    context::JudgeContext,
    part_result::{FindingDraft, PartResult, ReportedFinding, Support, own_evidence},
    wording::RECONNECT,
};
use sentinel_model::{
    Family, FindingKind, Moment, Outcome, Reason, RouteOrigin, RouteSeen, Severity, Weight,
};
use std::net::IpAddr;

/// The advice where it was not tested whether anything gets out.
const ALLOW_TEST: &str = "Allow the test with `past_tunnel = \"quiet\"`, or add what may leave there to `excluded` \
                          under [expectation].";
/// How many routes are named as evidence.
const EVIDENCE: usize = 8;

impl RouteTable {
    /// Evaluates the routes of each family, and the tunnel itself.
    pub fn evaluate(&mut self, blocked: &BlockedTraffic, context: &JudgeContext<'_>) -> PartResult {
        let mut result = PartResult::default();
        for family in Family::ALL {
            self.evaluate_routes(family, blocked, context, &mut result);
        }
        let family = self.main_family(context.policy);
        match family.and_then(|family| self.is_tunnel_up(family, context)) {
            Some(true) => {
                self.missing_since = None;
                result.determine(FindingKind::TunnelDown, None);
            }
            Some(false) => {
                let reported_at = self.interfaces.as_ref().map_or(context.now, |interfaces| interfaces.at);
                let since = *self.missing_since.get_or_insert(reported_at);
                result.findings.extend(self.find_tunnel_down(since, blocked, context));
            }
            None => {}
        }
        result
    }

    fn evaluate_routes(
        &self,
        family: Family,
        blocked: &BlockedTraffic,
        context: &JudgeContext<'_>,
        result: &mut PartResult,
    ) {
        let mut outside = self.destinations_outside_tunnel(family, context);
        if outside.is_empty() {
            let is_determined = |(route, _): (&RouteSeen, Moment)| {
                matches!(route.taken, Outcome::Measured(_) | Outcome::Unknown(Reason::Unreachable))
            };
            let mut general = self.general_routes(family, context).peekable();
            let is_undecided = self.has_undecided_far_end(family, context);
            if general.peek().is_some() && general.all(is_determined) && !is_undecided {
                result.determine(FindingKind::RouteOutsideTunnel, Some(family));
            }
            return;
        }
        // A route by which the kill switch lets nothing out is harmless.
        outside.retain(|route| !blocked.blocks(family, route.interface));
        result.findings.extend(self.find_outside(family, &outside, blocked, context));
    }

    fn find_outside(
        &self,
        family: Family,
        outside: &[OutsideRoute<'_>],
        blocked: &BlockedTraffic,
        context: &JudgeContext<'_>,
    ) -> Option<ReportedFinding> {
        let first = outside.first()?;
        // Without anything that says that this is a VPN, a route beside it is no leak.
        if !self.is_vpn(family, context) {
            return None;
        }
        let untested = |route: &OutsideRoute<'_>| {
            blocked.describe_untested(family, route.interface).filter(|_| !route.is_seen_open)
        };
        let untested = outside.iter().map(untested).collect::<Option<Vec<_>>>();
        let reason = untested.and_then(|reasons| reasons.into_iter().next());
        let details = reason
            .as_ref()
            .map(|reason| format!("Whether anything gets out there was not tested: {reason}."));
        // A tunnel that is down takes its routes with it: that is a finding of its own.
        let tunnel = self.tunnel_name(family, context.policy)?;
        self.is_tunnel_up(family, context).filter(|up| *up)?;
        let more = match outside.len() - 1 {
            0 => String::new(),
            1 => " and 1 more destination".to_owned(),
            more => format!(" and {more} more destinations"),
        };
        let evidence = |route: &OutsideRoute<'_>| {
            own_evidence(describe_route(route.destination, route.interface), route.at)
        };
        let traffic = first.traffic.map(|traffic| format!(" ({traffic})")).unwrap_or_default();
        let (destination, interface) = (format!("{}{traffic}", first.destination), first.interface);
        let draft = FindingDraft {
            kind: FindingKind::RouteOutsideTunnel,
            family: Some(family),
            entity: None,
            severity: if reason.is_some() { Severity::Warning } else { Severity::Critical },
            weight: Weight::Proof,
            fact: format!("Packets to {destination}{more} leave by {interface} instead of {tunnel}"),
            details: details.as_slice(),
            advice: if reason.is_some() { ALLOW_TEST } else { advise_on_origin(outside) },
            evidence: outside.iter().take(EVIDENCE).map(evidence).collect(),
            since: outside.iter().map(|route| route.at).min_by_key(|at| at.boot).unwrap_or(first.at),
        };
        Some(draft.finish(context))
    }

    fn find_tunnel_down(
        &self,
        since: Moment,
        blocked: &BlockedTraffic,
        context: &JudgeContext<'_>,
    ) -> Option<ReportedFinding> {
        let family = self.main_family(context.policy)?;
        let fact = self.describe_lost_tunnel(family, context)?;
        let is_held_back = self.is_all_blocked(blocked, context);
        let details = is_held_back.then(|| "The kill switch holds traffic back.".to_owned());
        let draft = FindingDraft {
            kind: FindingKind::TunnelDown,
            family: None,
            entity: None,
            severity: Severity::Warning,
            weight: Weight::Proof,
            evidence: vec![own_evidence(&fact, since)],
            fact,
            details: details.as_slice(),
            advice: RECONNECT,
            since,
        };
        Some(draft.finish(context))
    }

    /// Returns true if a kill switch blocks what the tunnel carried, and no route is known to evade
    /// it.
    fn is_all_blocked(&self, blocked: &BlockedTraffic, context: &JudgeContext<'_>) -> bool {
        let evades = |family| {
            let outside = self.destinations_outside_tunnel(family, context);
            outside.iter().any(|route| !blocked.blocks(family, route.interface))
        };
        self.main_family(context.policy).is_some_and(|family| blocked.blocks_all(family))
            && !Family::ALL.into_iter().any(evades)
    }

    /// Returns what the kernel reports in support of a single voice: a tunnel that is down, else a
    /// route outside it.
    pub fn support_for(&self, family: Family, context: &JudgeContext<'_>) -> Option<Support> {
        let support =
            |sentence, saw: String, at| Some(Support { sentence, evidence: vec![own_evidence(saw, at)] });
        if let Some(lost) = self.describe_lost_tunnel(family, context) {
            let at = self.interfaces.as_ref().map_or(context.now, |interfaces| interfaces.at);
            return support(format!("{lost}."), lost, at);
        }
        if self.is_tunnel_up(family, context) != Some(true) {
            return None;
        }
        let outside = self.routes_outside_tunnel(family, context);
        let route = outside.min_by_key(|route| route.interface)?;
        let saw = describe_route(route.destination, route.interface);
        support(format!("Packets leave by {}.", route.interface), saw, route.at)
    }

    /// Returns `The tunnel wg0 is gone` or `.. is down`, if it is.
    fn describe_lost_tunnel(&self, family: Family, context: &JudgeContext<'_>) -> Option<String> {
        if self.is_tunnel_up(family, context)? {
            return None;
        }
        let name = self.tunnel_name(family, context.policy)?;
        let exists = self.last_interfaces()?.iter().any(|interface| interface.name == name);
        Some(format!("The tunnel {name} is {}", if exists { "down" } else { "gone" }))
    }
}

/// Returns what to do about routes outside the tunnel, depending on who wrote them.
fn advise_on_origin(outside: &[OutsideRoute<'_>]) -> &'static str {
    let is_of_network = |route: &OutsideRoute<'_>| {
        matches!(
            route.origin,
            Some(RouteOrigin::Dhcp | RouteOrigin::RouterAdvertisement | RouteOrigin::Redirect)
        )
    };
    if outside.iter().all(is_of_network) {
        "This network handed the route out, so that reconnecting the VPN will not help. If you trust it, add the \
         destination to `excluded` under [expectation]; else leave this network."
    } else if outside.iter().all(|route| route.origin == Some(RouteOrigin::Program)) {
        "Reconnect the VPN or go offline. If the route is there on purpose, add the destination to `excluded` \
         under [expectation]; if it is your VPN server, state it as `endpoint`."
    } else {
        RECONNECT
    }
}

/// Returns where packets to a destination leave, as evidence names it.
pub(crate) fn describe_route(destination: IpAddr, interface: &str) -> String {
    format!("packets to {destination} leave by {interface}")
}
