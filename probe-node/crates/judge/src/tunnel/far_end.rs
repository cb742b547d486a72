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
/// How long a host route may wait for the VPN client to name its server.
///
/// A client that switches servers writes the route to the new one first. A later look decides.
const WAIT: Millis = Millis::secs(1);

/// What is known of an address that may be a far end.
#[derive(Clone, Debug)]
struct Candidate {
    evidence: FarEndEvidence,
    address: Attributed,
    /// Since when nothing but a host route has suggested it, if nothing does.
    unexplained_since: Option<Moment>,
}

/// The addresses that may be far ends, with the evidence for each.
#[derive(Clone, Debug, Default)]
pub(super) struct FarEnds(BoundedMap<IpAddr, Dated<Candidate>, FAR_ENDS>);

impl FarEnds {
    /// Records a possible far end, whether or not it answered.
    pub fn record(&mut self, seen: &Dated<&UnderlaySeen>, context: &JudgeContext<'_>) {
        let address = Attributed { owner: seen.value.owner.clone(), ..Attributed::bare(seen.value.endpoint) };
        let (key, evidence) = (address.address, seen.value.evidence);
        let before = self.0.get(&key).filter(|before| context.is_recent(before.at));
        let since = before.and_then(|before| before.value.unexplained_since).unwrap_or(seen.at);
        let unexplained_since = (evidence == FarEndEvidence::HostRoute).then_some(since);
        self.0.make_room_for(&key);
        self.0.insert(key, seen.with(Candidate { evidence, address, unexplained_since }));
    }

    /// Returns the far ends of a family.
    ///
    /// `exit` is the exit that voices agree on, if they do.
    pub fn find(
        &self,
        family: Family,
        exit: Option<&Attributed>,
        context: &JudgeContext<'_>,
    ) -> BTreeSet<IpAddr> {
        self.select(family, context, |address| self.is_far_end(address, exit, context) == Some(true))
    }

    /// Returns the far end that a family's traffic goes to: the stated one, else the only one.
    ///
    /// Of several it is undetermined which one the traffic goes to.
    pub fn find_single(
        &self,
        family: Family,
        exit: Option<&Attributed>,
        context: &JudgeContext<'_>,
    ) -> Option<IpAddr> {
        if let Some(stated) = stated(context) {
            return Some(stated).filter(|stated| Family::of(*stated) == family);
        }
        let mut all = self.find(family, exit, context).into_iter();
        let first = all.next()?;
        all.next().is_none().then_some(first)
    }

    /// Returns the far ends of a family and the addresses that may yet turn out to be one.
    pub fn find_possible(
        &self,
        family: Family,
        exit: Option<&Attributed>,
        context: &JudgeContext<'_>,
    ) -> BTreeSet<IpAddr> {
        self.select(family, context, |address| self.is_far_end(address, exit, context) != Some(false))
    }

    fn select(
        &self,
        family: Family,
        context: &JudgeContext<'_>,
        is_one: impl Fn(IpAddr) -> bool,
    ) -> BTreeSet<IpAddr> {
        let stated = stated(context).filter(|stated| Family::of(*stated) == family);
        let candidates = self.candidates(family, context).map(|known| known.value.address.address);
        stated.into_iter().chain(candidates.filter(|address| is_one(*address))).collect()
    }

    /// Returns true if a host route has waited for its explanation, and nobody has looked since.
    pub fn awaits_look(&self, family: Family, context: &JudgeContext<'_>) -> bool {
        self.candidates(family, context).any(|known| {
            let since = known.value.unexplained_since;
            since.is_some_and(|since| context.age(since) >= WAIT) && is_waiting(known)
        })
    }

    /// Returns whether an address is a far end; `None` if that depends on an exit not yet known, or
    /// on whether a VPN client names it.
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
        let candidates = || self.candidates(family, context);
        let Some(known) = candidates().find(|known| known.value.address.address == address) else {
            return Some(false);
        };
        let evidence = known.value.evidence;
        let is_only = candidates().filter(|other| other.value.evidence == evidence).count() == 1;
        let is_stated = stated(context).is_some_and(|stated| Family::of(stated) == family);
        match evidence {
            FarEndEvidence::Stated | FarEndEvidence::Peer | FarEndEvidence::Socket => Some(true),
            FarEndEvidence::UnconnectedSocket => Some(is_only && !is_stated),
            FarEndEvidence::HostRoute => {
                let is_beside_better = candidates().any(|other| other.value.evidence > evidence);
                let is_plausible = is_only && !is_stated && !is_beside_better;
                let is_of_exit = exit.map(|exit| known.value.address.same_operator(exit));
                match is_of_exit.filter(|_| is_plausible) {
                    Some(true) => Some(true),
                    None if is_plausible => None,
                    Some(false) | None => (!is_waiting(known)).then_some(false),
                }
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
    ) -> impl Iterator<Item = &'a Dated<Candidate>> {
        let recent = || self.0.iter().filter(|(_, seen)| context.is_recent(seen.at));
        let any_of_this_epoch = recent().any(|(_, seen)| seen.epoch == context.epoch);
        recent()
            .filter(move |(_, seen)| !any_of_this_epoch || seen.epoch == context.epoch)
            .filter(move |(address, _)| Family::of(**address) == family)
            .filter(|(address, _)| !context.policy.expectation.excludes(**address))
            .map(|(_, seen)| seen)
    }
}

/// Returns true if the last look at a host route may have come before the client named its server.
fn is_waiting(known: &Dated<Candidate>) -> bool {
    known.value.unexplained_since.is_some_and(|since| known.at.boot.since(since.boot) < WAIT)
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

    const FIRST: Moment = Moment { boot: Monotonic(1000), wall: Timestamp(0) };
    const NOW: Moment = Moment { boot: Monotonic(3000), wall: Timestamp(0) };
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

    /// Far ends that were looked at twice, so that none of them waits.
    fn far_ends(seen: &[(&str, FarEndEvidence, u32)]) -> FarEnds {
        let policy = Policy::default();
        let mut far_ends = FarEnds::default();
        for (address, evidence, asn) in seen {
            let underlay = UnderlaySeen {
                endpoint: ip(address),
                rtt: Outcome::Unknown(Reason::TimedOut),
                evidence: *evidence,
                owner: Some(owner(*asn)),
            };
            for at in [FIRST, NOW] {
                let context = EpochState { epoch: Epoch(1), ..EpochState::default() }.context(at, &policy);
                far_ends.record(&Dated { value: &underlay, at, epoch: Epoch(1) }, &context);
            }
        }
        far_ends
    }

    fn found(far_ends: &FarEnds, exit: Option<&Attributed>, policy: &Policy) -> Vec<String> {
        let context = EpochState { epoch: Epoch(1), ..EpochState::default() }.context(NOW, policy);
        far_ends.find(Family::V4, exit, &context).iter().map(IpAddr::to_string).collect()
    }

    fn asked(far_ends: &FarEnds, address: &str, exit: Option<&Attributed>) -> Option<bool> {
        let policy = Policy::default();
        let context = EpochState { epoch: Epoch(1), ..EpochState::default() }.context(NOW, &policy);
        far_ends.is_far_end(ip(address), exit, &context)
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
