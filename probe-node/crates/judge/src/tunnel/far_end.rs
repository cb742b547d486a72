//! The tunnel's far end. Its own packets have to get there, so the way to it leads past the tunnel rightly.

use super::route_table::RouteTable;
use crate::part_result::JudgeContext;
use sentinel_model::{Epoch, Family, InterfaceKind, Moment, RoutePurpose, UnderlaySeen};
use std::{collections::BTreeMap, net::IpAddr};

/// How many are remembered; a tunnel has one, a mesh a few.
const ENDS: usize = 16;

/// What the routing table names as far ends.
#[derive(Clone, Debug, Default)]
pub(super) struct FarEnds(BTreeMap<IpAddr, (Moment, Epoch)>);

impl RouteTable {
    /// Takes in what may be a far end, whether or not it answered.
    pub fn far_end_named(&mut self, seen: &UnderlaySeen, at: Moment, epoch: Epoch) {
        let endpoint = seen.endpoint.to_canonical();
        if self.ends.0.len() >= ENDS && !self.ends.0.contains_key(&endpoint) {
            let oldest = self.ends.0.iter().min_by_key(|(_, (at, _))| at.boot).map(|(end, _)| *end);
            oldest.and_then(|end| self.ends.0.remove(&end));
        }
        self.ends.0.insert(endpoint, (at, epoch));
    }

    /// The tunnel's far end over a family: the one the user named, else the only one the routes name. Of several it
    /// cannot be told which is one and which was put past the tunnel for another reason.
    pub fn far_end(&self, family: Family, context: &JudgeContext<'_>) -> Option<IpAddr> {
        let expectation = &context.policy.expectation;
        if let Some(named) = expectation.endpoint {
            return Some(named.to_canonical()).filter(|named| Family::of(*named) == family);
        }
        let ttl = context.policy.thresholds.round_ttl;
        let standing = |(_, (at, _)): &(&IpAddr, &(Moment, Epoch))| context.age(*at) <= ttl;
        let now = |(_, (_, epoch)): &(&IpAddr, &(Moment, Epoch))| *epoch == context.epoch;
        // Those from before the network changed stand until they are named anew.
        let anew = self.ends.0.iter().filter(standing).any(|end| now(&end));
        let mut candidates = self
            .ends
            .0
            .iter()
            .filter(standing)
            .filter(|end| !anew || now(end))
            .map(|(end, _)| *end)
            .filter(|end| Family::of(*end) == family && !expectation.excludes(*end));
        let first = candidates.next()?;
        candidates.next().is_none().then_some(first)
    }

    /// The same over both families.
    pub fn far_ends(&self, context: &JudgeContext<'_>) -> Vec<IpAddr> {
        Family::ALL.into_iter().filter_map(|family| self.far_end(family, context)).collect()
    }

    /// The far end, where one of the user's nodes is it: reached past the tunnel, that node sees the home line rightly.
    pub fn far_end_is_witness(&self, family: Family, context: &JudgeContext<'_>) -> Option<IpAddr> {
        let end = self.far_end(family, context)?;
        let (route, at, epoch) = self.routes.get(&(end, RoutePurpose::Witness))?;
        let past = route.taken.measured().is_some_and(|taken| taken.kind == InterfaceKind::Physical);
        (past && context.stands(*at, *epoch)).then_some(end)
    }
}
