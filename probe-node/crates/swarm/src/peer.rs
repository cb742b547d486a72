//! What a node knows of another member at this moment: its connections, where else to look for it, what it last said,
//! and the credential for its STUN responder.

use crate::{
    attestation::Mark,
    credential::{Grant, ROTATION},
    membership::Member,
};
use libp2p::{Multiaddr, PeerId, multiaddr::Protocol, swarm::ConnectionId};
use sentinel_model::{Announcement, Millis, Monotonic, Timestamp};

/// The first wait after a failed dial, and the longest.
const BACKOFF: (Millis, Millis) = (Millis::secs(1), Millis::secs(60));

/// One established connection.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub id: ConnectionId,
    pub relayed: bool,
    pub since: Monotonic,
}

/// A credential this node holds at a witness.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub grant: Grant,
    pub until: Monotonic,
}

/// One other member.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    pub links: Vec<Link>,
    /// Addresses it told us itself.
    pub told: Vec<Multiaddr>,
    /// The address that worked last.
    pub worked: Option<Multiaddr>,
    /// Whether it passes traffic on, as it told us itself.
    pub relays: bool,
    pub announced: Option<Announcement>,
    pub last_heard: Option<Timestamp>,
    pub dialing: bool,
    backoff: Millis,
    next_dial: Monotonic,
    pub credential: Option<Held>,
    pub next_credential: Monotonic,
    pub mark: Option<Mark>,
}

impl Peer {
    /// Whether there is a connection of any kind.
    pub(crate) fn is_connected(&self) -> bool {
        !self.links.is_empty()
    }

    /// Whether there is a connection without a relay.
    pub(crate) fn is_direct(&self) -> bool {
        self.links.iter().any(|link| !link.relayed)
    }

    /// Whether it is time to dial: there is no direct connection, none is being made, and the wait is over.
    pub(crate) fn is_due(&self, now: Monotonic) -> bool {
        !self.is_direct() && !self.dialing && self.next_dial <= now
    }

    /// Where to dial next: every way at once, and the first that answers wins. Ways through relays stand in front, since
    /// only so many are tried at a time and a member's private addresses lead nowhere from most places. While a relayed
    /// connection stands only a direct one is worth having.
    pub(crate) fn candidates(&self, member: &Member, circuits: Vec<Multiaddr>) -> Vec<Multiaddr> {
        let direct = self.direct_addresses(member);
        if self.is_connected() { direct } else { circuits.into_iter().chain(direct).collect() }
    }

    /// Every direct address known, the proven one first.
    pub(crate) fn direct_addresses(&self, member: &Member) -> Vec<Multiaddr> {
        let mut addresses: Vec<Multiaddr> = Vec::new();
        for address in self.worked.iter().chain(&self.told).chain(&member.addresses) {
            if !addresses.contains(address) {
                addresses.push(address.clone());
            }
        }
        addresses
    }

    /// A dial is under way or has failed: the next one waits longer. `spread` (0..=255) keeps nodes out of step.
    pub(crate) fn postpone(&mut self, now: Monotonic, spread: u8) {
        self.backoff = Millis(self.backoff.0.clamp(BACKOFF.0.0, BACKOFF.1.0));
        let spread = self.backoff.0 * u64::from(spread) / 1024;
        self.next_dial = now.after(Millis(self.backoff.0 + spread));
        self.backoff = Millis(self.backoff.0.saturating_mul(2).min(BACKOFF.1.0));
    }

    /// There is reason to believe that dialing works now.
    pub(crate) fn dial_at_once(&mut self, now: Monotonic) {
        self.backoff = BACKOFF.0;
        self.next_dial = now;
    }

    /// The connection carried a greeting: it works. Should it be relayed, a direct one is worth trying for, but hole
    /// punching comes first.
    pub(crate) fn proved(&mut self, now: Monotonic) {
        self.backoff = BACKOFF.0;
        self.next_dial = if self.is_direct() { now } else { now.after(BACKOFF.1) };
    }

    /// Keeps a credential and plans its renewal.
    pub(crate) fn hold(&mut self, grant: Grant, now: Monotonic) {
        let half = Millis(grant.valid_for.0 / 2);
        self.next_credential = now.after(half.min(ROTATION));
        self.credential = Some(Held { until: now.after(grant.valid_for), grant });
    }
}

/// The address of a member behind a relay, given the relay's own.
pub(crate) fn circuit(relay_address: &Multiaddr, relay: PeerId, target: Option<PeerId>) -> Multiaddr {
    let mut address: Multiaddr =
        relay_address.iter().filter(|part| !matches!(part, Protocol::P2p(_))).collect();
    address.push(Protocol::P2p(relay));
    address.push(Protocol::P2pCircuit);
    if let Some(target) = target {
        address.push(Protocol::P2p(target));
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::NodeRole;

    fn member(address: &str) -> Member {
        Member {
            name: "n".into(),
            role: NodeRole::Probe,
            addresses: vec![address.parse().unwrap()],
            relay: false,
        }
    }

    #[test]
    fn waits_grow_from_one_second_to_sixty_and_end_at_once_when_told() {
        let mut peer = Peer::default();
        let mut now = Monotonic(10);
        let mut waits = Vec::new();
        assert!(peer.is_due(now));
        for _ in 0..8 {
            peer.postpone(now, 0);
            waits.push(peer.next_dial.since(now).0);
            assert!(!peer.is_due(now));
            now = peer.next_dial;
            assert!(peer.is_due(now));
        }
        assert_eq!(waits, [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
        peer.postpone(now, 255);
        assert!(peer.next_dial.since(now).0 < 75_000);
        peer.dial_at_once(now);
        assert!(peer.is_due(now));
    }

    #[test]
    fn relays_and_direct_addresses_race_until_there_is_a_connection() {
        let mut peer = Peer::default();
        let member = member("/ip4/192.0.2.1/tcp/1");
        let relay: Multiaddr = "/ip4/192.0.2.9/tcp/9".parse().unwrap();
        let circuits = || vec![circuit(&relay, PeerId::random(), Some(PeerId::random()))];
        let all = peer.candidates(&member, circuits());
        assert!(all.len() == 2 && crate::behaviour::is_relayed(&all[0]) && all[1] == member.addresses[0]);
        assert_eq!(peer.candidates(&member, Vec::new()), member.addresses);
        peer.links.push(Link { id: ConnectionId::new_unchecked(1), relayed: true, since: Monotonic(0) });
        assert_eq!(peer.candidates(&member, circuits()), member.addresses);
    }
}
