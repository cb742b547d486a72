//! What a path is: what the world sees through it, whatever kind of interface it leaves by.
//!
//! A path is what the kernel answers for a packet: interface, source address and next hop. The kind
//! of the interface is only the first guess; what voices that were reached by the path see of this
//! machine decides:
//!
//! - they see an accepted exit: the path is protected;
//! - they see home, or the operator of the home line: the path is open.

use crate::{bounded::BoundedMap, dated::Dated};
use sentinel_model::{Family, InterfaceKind, RouteTaken};
use std::net::IpAddr;

/// How many paths are remembered; a machine has a handful.
const PATHS: usize = 64;

/// What voices showed a path to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathState {
    /// Voices reached by it see the accepted exit.
    Protected,
    /// Voices reached by it see home.
    Open,
}

/// What distinguishes paths: packets of two source addresses may be treated differently on one
/// interface, as an IPsec policy does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PathKey {
    family: Family,
    interface: String,
    source: Option<IpAddr>,
}

impl PathKey {
    /// Returns the key of a route.
    ///
    /// A tunnel treats all packets alike, so the source only counts on other interfaces.
    pub fn of(family: Family, taken: &RouteTaken) -> Self {
        let source = taken.source.filter(|_| taken.kind != InterfaceKind::Tunnel);
        Self { family, interface: taken.interface.clone(), source }
    }

    /// Returns true if what is known of one path holds for the other: an unknown source matches
    /// any.
    fn matches(&self, other: &Self) -> bool {
        let is_same_source = match (self.source, other.source) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        self.family == other.family && self.interface == other.interface && is_same_source
    }
}

/// What voices showed about paths.
#[derive(Clone, Debug, Default)]
pub(super) struct PathEvidence(BoundedMap<PathKey, Dated<PathState>, PATHS>);

impl PathEvidence {
    /// Records what voices showed a path to be.
    pub fn record(&mut self, path: PathKey, state: Dated<PathState>) {
        self.0.insert(path, state);
    }

    /// Returns what voices last showed a path to be, among what `holds` accepts.
    pub fn find(&self, path: &PathKey, holds: impl Fn(&Dated<PathState>) -> bool) -> Option<PathState> {
        let known = self.0.iter().filter(|(known, seen)| known.matches(path) && holds(seen));
        known.max_by_key(|(_, seen)| seen.at.boot).map(|(_, seen)| seen.value)
    }
}
