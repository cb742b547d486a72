//! The far ends of tunnels: the VPN server's address, or several.
//!
//! A route to a far end outside the tunnel is expected: the tunnel's own packets use it. Whoever
//! runs the network can write such a route too, so an address is a far end only if something says
//! so. From the best evidence to the worst:
//!
//! 1. The user stated it.
//! 2. It is a peer of a tunnel, or a socket of the VPN's process is connected to it. Several may
//!    be: a mesh, a tunnel in a tunnel, two VPNs.
//! 3. It has the only host route of its family that nothing else explains, beside a VPN's process
//!    whose socket names no peer.
//! 4. It has the only host route, and no far end is known otherwise: then its operator is that of
//!    the exit that voices agree on, or it is none.

use crate::{bounded::BoundedMap, context::JudgeContext, dated::Dated};
use sentinel_model::{Attributed, Family, FarEndEvidence, Millis, Moment, UnderlaySeen};
use std::{collections::BTreeSet, net::IpAddr};

/// How many far ends are remembered; a tunnel has one, a mesh some.
const FAR_ENDS: usize = 32;
/// How long a new host route may wait for the client to name the server.
const NEW: Millis = Millis::secs(20);

/// What is known of an address that may be a far end.
#[derive(Clone, Debug)]
struct Candidate {
    evidence: FarEndEvidence,
    address: Attributed,
    /// When it was last a peer or a socket's. A client that switches servers may remove the route
    /// to the old one only later.
    proven_at: Option<Moment>,
    /// When it was first seen. A client may write the route before it names the server.
    first_at: Moment,
}

impl Candidate {
    fn is_recently_proven(&self, context: &JudgeContext<'_>) -> bool {
        self.proven_at.is_some_and(|at| context.is_recent(at))
    }

    fn is_new(&self, context: &JudgeContext<'_>) -> bool {
        context.age(self.first_at) < NEW
    }
}

/// The addresses that may be far ends, with the evidence for each.
#[derive(Clone, Debug, Default)]
pub(super) struct FarEnds(BoundedMap<IpAddr, Dated<Candidate>, FAR_ENDS>);

impl FarEnds {
    /// Records a possible far end, whether or not it answered.
    pub fn record(&mut self, seen: &Dated<&UnderlaySeen>) {
        let address = Attributed { owner: seen.value.owner.clone(), ..Attributed::bare(seen.value.endpoint) };
        let key = address.address;
        let evidence = seen.value.evidence;
        let proven_at = if evidence >= FarEndEvidence::Socket {
            Some(seen.at)
        } else {
            self.0.get(&key).and_then(|before| before.value.proven_at)
        };
        let first_at = self.0.get(&key).map_or(seen.at, |before| before.value.first_at);
        self.0.make_room_for(&key);
        self.0.insert(key, seen.with(Candidate { evidence, address, proven_at, first_at }));
    }

    /// Returns the far end of a family: the stated one, else the only one.
    pub fn find(&self, family: Family, context: &JudgeContext<'_>) -> Option<IpAddr> {
        if let Some(stated) = stated(context) {
            return Some(stated).filter(|stated| Family::of(*stated) == family);
        }
        let mut all = self.find_all(family, None, context).into_iter();
        let first = all.next()?;
        all.next().is_none().then_some(first)
    }

    /// Returns the far ends of a family.
    ///
    /// `exit` is the exit that voices agree on, if they do.
    pub fn find_all(
        &self,
        family: Family,
        exit: Option<&Attributed>,
        context: &JudgeContext<'_>,
    ) -> BTreeSet<IpAddr> {
        let stated = stated(context).filter(|stated| Family::of(*stated) == family);
        let candidates = self.candidates(family, context).map(|candidate| candidate.address.address);
        let is_one = |address: &IpAddr| self.is_far_end(*address, exit, context) == Some(true);
        stated.into_iter().chain(candidates.filter(is_one)).collect()
    }

    /// Returns whether an address is a far end; `None` if that depends on an exit not yet known.
    ///
    /// `exit` is the exit of the address's family that voices agree on, if they do.
    pub fn is_far_end(
        &self,
        address: IpAddr,
        exit: Option<&Attributed>,
        context: &JudgeContext<'_>,
    ) -> Option<bool> {
        let address = address.to_canonical();
        let family = Family::of(address);
        if stated(context) == Some(address) {
            return Some(true);
        }
        let Some(known) = self.candidates(family, context).find(|known| known.address.address == address)
        else {
            return Some(false);
        };
        if known.is_recently_proven(context) || known.is_new(context) {
            return Some(true);
        }
        let has_same = |other: &&Candidate| other.evidence == known.evidence;
        let is_only = self.candidates(family, context).filter(has_same).count() == 1;
        let is_stated = stated(context).is_some_and(|stated| Family::of(stated) == family);
        match known.evidence {
            FarEndEvidence::Stated | FarEndEvidence::Peer | FarEndEvidence::Socket => Some(true),
            FarEndEvidence::UnconnectedSocket => Some(is_only && !is_stated),
            FarEndEvidence::HostRoute => {
                let has_better = |other: &Candidate| other.evidence > FarEndEvidence::HostRoute;
                if !is_only || is_stated || self.candidates(family, context).any(has_better) {
                    return Some(false);
                }
                exit.map(|exit| known.address.same_operator(exit))
            }
        }
    }

    /// Returns the recent candidates of a family that the user did not exclude.
    ///
    /// Those from before the network changed count until new ones are reported.
    fn candidates<'a>(
        &'a self,
        family: Family,
        context: &'a JudgeContext<'_>,
    ) -> impl Iterator<Item = &'a Candidate> {
        let recent = || self.0.iter().filter(|(_, seen)| context.is_recent(seen.at));
        let any_of_this_epoch = recent().any(|(_, seen)| seen.epoch == context.epoch);
        recent()
            .filter(move |(_, seen)| {
                !any_of_this_epoch || seen.epoch == context.epoch || seen.value.is_recently_proven(context)
            })
            .filter(move |(address, _)| Family::of(**address) == family)
            .filter(|(address, _)| !context.policy.expectation.excludes(**address))
            .map(|(_, seen)| &seen.value)
    }
}

/// Returns the far end that the user stated.
fn stated(context: &JudgeContext<'_>) -> Option<IpAddr> {
    context.policy.expectation.endpoint.map(|stated| stated.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{context::EpochState, policy::Policy};
    use sentinel_model::{Asn, Epoch, Monotonic, Outcome, Owner, Reason, Timestamp};

    const SEEN: Moment = Moment { boot: Monotonic(1000), wall: Timestamp(0) };
    const NOW: Moment = Moment { boot: Monotonic(60_000), wall: Timestamp(0) };
    const VPN: u32 = 64_510;

    fn owner(asn: u32) -> Owner {
        Owner { asn: Some(Asn(asn)), name: "Example".to_owned(), country: None }
    }

    fn exit() -> Attributed {
        Attributed { address: ip("203.0.113.12"), owner: Some(owner(VPN)) }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn far_ends(seen: &[(&str, FarEndEvidence, u32)]) -> FarEnds {
        let mut far_ends = FarEnds::default();
        for (address, evidence, asn) in seen {
            let underlay = UnderlaySeen {
                endpoint: ip(address),
                rtt: Outcome::Unknown(Reason::TimedOut),
                evidence: *evidence,
                owner: Some(owner(*asn)),
            };
            far_ends.record(&Dated { value: &underlay, at: SEEN, epoch: Epoch(1) });
        }
        far_ends
    }

    fn found(far_ends: &FarEnds, exit: Option<&Attributed>, policy: &Policy) -> Vec<String> {
        let context = EpochState { epoch: Epoch(1), ..EpochState::default() }.context(NOW, policy);
        far_ends.find_all(Family::V4, exit, &context).iter().map(IpAddr::to_string).collect()
    }

    fn asked(far_ends: &FarEnds, address: &str, exit: Option<&Attributed>) -> Option<bool> {
        let policy = Policy::default();
        let context = EpochState { epoch: Epoch(1), ..EpochState::default() }.context(NOW, &policy);
        far_ends.is_far_end(ip(address), exit, &context)
    }

    #[test]
    fn the_server_that_was_left_stays_a_far_end_while_its_route_is_being_removed() {
        use FarEndEvidence::{HostRoute, Peer};
        let mut switched =
            far_ends(&[("192.0.2.1", Peer, 1), ("192.0.2.1", HostRoute, 1), ("192.0.2.2", Peer, 1)]);
        assert_eq!(asked(&switched, "192.0.2.1", None), Some(true));
        for known in switched.0.values_mut() {
            known.value.proven_at = None;
        }
        assert_eq!(asked(&switched, "192.0.2.1", None), Some(false), "a route that nothing ever explained");
    }

    #[test]
    fn peers_and_sockets_are_far_ends_and_a_host_route_beside_them_is_not() {
        use FarEndEvidence::{HostRoute, Peer, Socket};
        let mesh = [
            ("192.0.2.1", Peer, 1),
            ("192.0.2.2", Peer, 2),
            ("192.0.2.3", Socket, 3),
            ("192.0.2.4", HostRoute, VPN),
        ];
        let far_ends = far_ends(&mesh);
        let expected = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
        assert_eq!(found(&far_ends, Some(&exit()), &Policy::default()), expected);
        assert_eq!(asked(&far_ends, "192.0.2.4", Some(&exit())), Some(false));
        assert_eq!(asked(&far_ends, "198.51.100.9", Some(&exit())), Some(false), "never reported");
    }

    #[test]
    fn a_host_route_alone_is_a_far_end_only_of_the_exits_operator() {
        use FarEndEvidence::HostRoute;
        let of_vpn = far_ends(&[("192.0.2.1", HostRoute, VPN)]);
        assert_eq!(asked(&of_vpn, "192.0.2.1", Some(&exit())), Some(true));
        assert_eq!(asked(&of_vpn, "192.0.2.1", None), None, "no exit is known yet");
        let of_site = far_ends(&[("192.0.2.200", HostRoute, 64_530)]);
        assert_eq!(asked(&of_site, "192.0.2.200", Some(&exit())), Some(false));
        let two = far_ends(&[("192.0.2.1", HostRoute, VPN), ("192.0.2.2", HostRoute, VPN)]);
        assert_eq!(found(&two, Some(&exit()), &Policy::default()), Vec::<String>::new());
    }

    #[test]
    fn an_unconnected_socket_speaks_for_one_host_route_only() {
        use FarEndEvidence::UnconnectedSocket;
        let one = far_ends(&[("192.0.2.1", UnconnectedSocket, 1), ("2001:db8::1", UnconnectedSocket, 1)]);
        assert_eq!(found(&one, None, &Policy::default()), ["192.0.2.1"]);
        let two = far_ends(&[("192.0.2.1", UnconnectedSocket, 1), ("192.0.2.2", UnconnectedSocket, 1)]);
        assert_eq!(asked(&two, "192.0.2.1", Some(&exit())), Some(false));
    }

    #[test]
    fn a_stated_far_end_outranks_what_is_only_suggested() {
        use FarEndEvidence::{HostRoute, Peer, UnconnectedSocket};
        let mut policy = Policy::default();
        policy.expectation.endpoint = Some(ip("192.0.2.9"));
        let suggested = far_ends(&[("192.0.2.1", HostRoute, VPN), ("192.0.2.2", UnconnectedSocket, VPN)]);
        assert_eq!(found(&suggested, Some(&exit()), &policy), ["192.0.2.9"]);
        let peer = far_ends(&[("192.0.2.1", Peer, VPN)]);
        assert_eq!(found(&peer, None, &policy), ["192.0.2.1", "192.0.2.9"], "a tunnel beside it");
        policy.expectation.endpoint = None;
        policy.expectation.excluded = vec!["192.0.2.0/24".parse().unwrap()];
        assert!(found(&peer, None, &policy).is_empty(), "the user excluded it");
    }
}
