//! Learns from voices what the paths are by which they were reached.

use super::{
    path_evidence::{PathKey, PathState},
    route_table::RouteTable,
};
use crate::{
    context::JudgeContext,
    dated::Dated,
    exit::{Tally, VoiceReport},
};
use sentinel_model::{Family, InterfaceKind, RoutePurpose, RouteTaken};
use std::collections::BTreeMap;

/// How many voices reached by one path see what.
#[derive(Clone, Copy, Debug, Default)]
struct PathVotes {
    home: usize,
    accepted: usize,
}

impl PathVotes {
    /// Returns what the votes show, if they are not divided.
    ///
    /// One voice that names home against others that do not may lie.
    fn state(self) -> Option<PathState> {
        match (self.home, self.accepted) {
            (0, accepted) if accepted >= 2 => Some(PathState::Protected),
            (home, 0) if home >= 1 => Some(PathState::Open),
            (home, _) if home >= 2 => Some(PathState::Open),
            _ => None,
        }
    }
}

impl RouteTable {
    /// Learns from a family's voices what the paths are by which they were reached.
    pub fn learn_paths(&mut self, family: Family, tally: &Tally, context: &JudgeContext<'_>) {
        let common = self.common_route(family, context).cloned();
        let mut votes: BTreeMap<PathKey, (PathVotes, &VoiceReport)> = BTreeMap::new();
        for report in &tally.voices {
            let Some(taken) = report.route.as_ref().or(common.as_ref()) else { continue };
            let (vote, latest) =
                votes.entry(PathKey::of(family, taken)).or_insert((PathVotes::default(), report));
            vote.home += usize::from(report.names_home);
            vote.accepted += usize::from(is_accepted(family, report, taken, context));
            if report.at.boot > latest.at.boot {
                *latest = report;
            }
        }
        for (path, (vote, latest)) in votes {
            if let Some(state) = vote.state() {
                let state = Dated { value: state, at: latest.at, epoch: context.epoch };
                self.paths.record(path, state);
            }
        }
    }

    /// Returns what voices showed a route to be, if it still holds.
    ///
    /// It holds in the epoch in which it was seen. That a tunnel-like interface is the access line
    /// holds for as long as the interface stays up.
    pub(super) fn path_state(
        &self,
        family: Family,
        taken: &RouteTaken,
        context: &JudgeContext<'_>,
    ) -> Option<PathState> {
        let key = PathKey::of(family, taken);
        let holds = |seen: &Dated<PathState>| {
            let is_line = seen.value == PathState::Open && taken.kind != InterfaceKind::Physical;
            let up_since = self.up_since.get(&taken.interface);
            seen.epoch == context.epoch || (is_line && up_since.is_some_and(|up| up.boot <= seen.at.boot))
        };
        self.paths.find(&key, holds)
    }

    /// Returns the tunnel-like interface by which voices see the access line, if another uplink is
    /// up beside it: a VPN that leads home.
    pub fn tunnel_to_line<'a>(&'a self, family: Family, context: &'a JudgeContext<'_>) -> Option<&'a str> {
        let taken = self.common_route(family, context)?;
        let is_tunnel = taken.kind == InterfaceKind::Tunnel;
        let others = self.last_uplinks()?.iter().any(|uplink| uplink.interface != taken.interface);
        let is_line = self.path_state(family, taken, context) == Some(PathState::Open);
        (is_tunnel && others && is_line).then_some(taken.interface.as_str())
    }

    /// Returns the route that all general destinations share, if they do.
    ///
    /// A voice whose own route is not reported was reached by it.
    fn common_route<'a>(&'a self, family: Family, context: &'a JudgeContext<'_>) -> Option<&'a RouteTaken> {
        let mut taken = self
            .general_routes(family, context)
            .filter(|(route, _)| route.purpose == RoutePurpose::Spread)
            .filter_map(|(route, _)| route.taken.measured());
        let first = taken.next()?;
        taken.all(|other| other.interface == first.interface).then_some(first)
    }
}

/// Returns true if the exit a voice reports is one that shows its path to be protected.
///
/// On a physical interface an exit that is not home shows nothing, since that is what any foreign
/// network looks like: the user must have stated it.
fn is_accepted(family: Family, report: &VoiceReport, taken: &RouteTaken, context: &JudgeContext<'_>) -> bool {
    let expectation = &context.policy.expectation;
    if report.names_home {
        return false;
    }
    if expectation.names_exit_over(family) {
        return expectation.accepts_exit(&report.exit) == Some(true);
    }
    taken.kind != InterfaceKind::Physical && context.policy.home.known(family)
}
