//! The tunnel's far end: the VPN server's address.
//!
//! A route to the far end outside the tunnel is expected: the tunnel's own packets use it.

use crate::{bounded::BoundedMap, context::JudgeContext, dated::Dated};
use sentinel_model::{Family, UnderlaySeen};
use std::net::IpAddr;

/// How many far ends are remembered; a tunnel has one, a mesh a few.
const FAR_ENDS: usize = 16;

/// The addresses that the routing table suggests as far ends.
#[derive(Clone, Debug, Default)]
pub(super) struct FarEnds(BoundedMap<IpAddr, Dated<()>, FAR_ENDS>);

impl FarEnds {
    /// Records a possible far end, whether or not it answered.
    pub fn record(&mut self, seen: &Dated<&UnderlaySeen>) {
        let endpoint = seen.value.endpoint.to_canonical();
        self.0.make_room_for(&endpoint);
        self.0.insert(endpoint, seen.with(()));
    }

    /// Returns the far end of a family: the one the user named, else the only one the routes
    /// suggest.
    ///
    /// Of several it is undetermined which is one and which is routed past the tunnel for another
    /// reason. Those from before the network changed count until new ones are suggested.
    pub fn find(&self, family: Family, context: &JudgeContext<'_>) -> Option<IpAddr> {
        let expectation = &context.policy.expectation;
        if let Some(named) = expectation.endpoint {
            return Some(named.to_canonical()).filter(|named| Family::of(*named) == family);
        }
        let recent = || self.0.iter().filter(|(_, seen)| context.is_recent(seen.at));
        let any_of_this_epoch = recent().any(|(_, seen)| seen.epoch == context.epoch);
        let mut candidates = recent()
            .filter(|(_, seen)| !any_of_this_epoch || seen.epoch == context.epoch)
            .map(|(address, _)| *address)
            .filter(|address| Family::of(*address) == family && !expectation.excludes(*address));
        let first = candidates.next()?;
        candidates.next().is_none().then_some(first)
    }
}
