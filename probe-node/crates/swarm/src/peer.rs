//! The state of another member at this node.

use crate::{
    attestation::StatementMark,
    member_protocol::WitnessGrant,
    membership::Member,
    rate_limiter::{Rate, TokenBucket},
    responder_state::ROTATION,
};
use libp2p::{Multiaddr, PeerId, swarm::ConnectionId};
use sentinel_model::{Announcement, Millis, Monotonic, Timestamp};

/// The delay after the first failed dial.
const MIN_BACKOFF: Millis = Millis::secs(1);
/// The longest delay between dials, without jitter.
const MAX_BACKOFF: Millis = Millis::secs(60);
/// The requests that a member may make.
pub(crate) const REQUEST_RATE: Rate = Rate { per_second: 20, burst: 20 };
/// The announcements that a member may make. Some may be delayed on their way and arrive together.
pub(crate) const ANNOUNCEMENT_RATE: Rate = Rate { per_second: 2, burst: 4 };

/// One established connection.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub id: ConnectionId,
    pub relayed: bool,
    pub since: Monotonic,
}

/// A grant that this node received from a witness.
#[derive(Clone, Debug)]
pub(crate) struct HeldGrant {
    pub grant: WitnessGrant,
    pub expires: Monotonic,
}

/// Another member: its connections, its addresses, what it last reported, and the grant it issued.
#[derive(Debug, Default)]
pub(crate) struct PeerState {
    pub connections: Vec<Connection>,
    /// The addresses that the node itself reported.
    pub reported_addresses: Vec<Multiaddr>,
    /// The last address that was dialed with success.
    pub working_address: Option<Multiaddr>,
    /// True if the node reported that it relays traffic.
    pub is_relay: bool,
    pub announcement: Option<Announcement>,
    /// When its last announcement came. That it was a new one shows that its engine works.
    pub last_heard: Option<Timestamp>,
    /// True if it subscribed and may have missed the last announcement.
    pub greeting_due: bool,
    /// True while a dial is in progress.
    pub dialing: bool,
    /// Why the name in one of its addresses cannot be used, as of the last dial.
    pub name_error: Option<String>,
    backoff: Millis,
    next_dial: Monotonic,
    pub witness_grant: Option<HeldGrant>,
    /// When to request the next grant.
    pub next_grant_request: Monotonic,
    /// The requests that it made lately.
    pub requests: TokenBucket,
    /// The announcements of its own that arrived lately.
    pub announcements: TokenBucket,
    /// When this node last logged that it exceeded a rate.
    pub throttling_logged_at: Option<Monotonic>,
    /// The mark of the last attestation accepted from this node.
    pub statement_mark: Option<StatementMark>,
}

impl PeerState {
    /// Returns true if there is a connection of any kind.
    pub(crate) fn is_connected(&self) -> bool {
        !self.connections.is_empty()
    }

    /// Returns true if there is a connection without a relay.
    pub(crate) fn is_direct(&self) -> bool {
        self.connections.iter().any(|connection| !connection.relayed)
    }

    /// Returns true if it is time to dial.
    ///
    /// That is the case if there is no direct connection, no dial is in progress, and the backoff
    /// delay is over.
    pub(crate) fn is_dial_due(&self, now: Monotonic) -> bool {
        !self.is_direct() && !self.dialing && self.next_dial <= now
    }

    /// Returns the addresses to dial next, all at once; the first that answers wins.
    ///
    /// Relays come first, since libp2p only tries so many addresses at a time and a member's
    /// private addresses work from few places. If a relayed connection exists, only direct
    /// addresses are worth dialing.
    pub(crate) fn dial_candidates(&self, member: &Member, circuits: Vec<Multiaddr>) -> Vec<Multiaddr> {
        let direct = self.direct_addresses(member);
        if self.is_connected() { direct } else { circuits.into_iter().chain(direct).collect() }
    }

    /// Returns all direct addresses, the one that worked last first.
    pub(crate) fn direct_addresses(&self, member: &Member) -> Vec<Multiaddr> {
        let mut addresses: Vec<Multiaddr> = Vec::new();
        for address in self.working_address.iter().chain(&self.reported_addresses).chain(&member.addresses) {
            if !addresses.contains(address) {
                addresses.push(address.clone());
            }
        }
        addresses
    }

    /// Notes why the name in an address cannot be used, and logs it once.
    pub(crate) fn note_name_error(&mut self, id: &PeerId, error: Option<String>) {
        if let Some(cause) = error.as_ref().filter(|_| self.name_error != error) {
            tracing::warn!(peer = %id, "Cannot connect to a node: {cause}; this is tried again");
        }
        self.name_error = error;
    }

    /// Delays the next dial, longer each time.
    ///
    /// `jitter` (0..=255) adds up to a quarter of the delay, which keeps nodes out of step.
    pub(crate) fn back_off(&mut self, now: Monotonic, jitter: u8) {
        self.backoff = Millis(self.backoff.0.clamp(MIN_BACKOFF.0, MAX_BACKOFF.0));
        let jitter = self.backoff.0 * u64::from(jitter) / 1024;
        self.next_dial = now.after(Millis(self.backoff.0 + jitter));
        self.backoff = Millis(self.backoff.0.saturating_mul(2).min(MAX_BACKOFF.0));
    }

    /// Makes a dial due at once, since there is reason to believe that it works now.
    pub(crate) fn dial_at_once(&mut self, now: Monotonic) {
        self.backoff = MIN_BACKOFF;
        self.next_dial = now;
    }

    /// Records that the connection carried a greeting, and so works.
    ///
    /// If it is relayed, the next dial for a direct one waits until hole punching had its chance.
    pub(crate) fn confirm_connection(&mut self, now: Monotonic) {
        self.backoff = MIN_BACKOFF;
        self.next_dial = if self.is_direct() { now } else { now.after(MAX_BACKOFF) };
    }

    /// Keeps a grant, and plans its renewal.
    pub(crate) fn keep_grant(&mut self, grant: WitnessGrant, now: Monotonic) {
        let half = Millis(grant.valid_for.0 / 2);
        self.next_grant_request = now.after(half.min(ROTATION));
        self.witness_grant = Some(HeldGrant { expires: now.after(grant.valid_for), grant });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addresses::{circuit, is_relayed};
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
    fn the_backoff_grows_from_one_second_to_sixty_and_can_be_reset() {
        let mut peer = PeerState::default();
        let mut now = Monotonic(10);
        let mut delays = Vec::new();
        assert!(peer.is_dial_due(now));
        for _ in 0..8 {
            peer.back_off(now, 0);
            delays.push(peer.next_dial.since(now).0);
            assert!(!peer.is_dial_due(now));
            now = peer.next_dial;
            assert!(peer.is_dial_due(now));
        }
        assert_eq!(delays, [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
        peer.back_off(now, 255);
        assert!(peer.next_dial.since(now).0 < 75_000);
        peer.dial_at_once(now);
        assert!(peer.is_dial_due(now));
    }

    #[test]
    fn relays_and_direct_addresses_are_dialed_until_there_is_a_connection() {
        let mut peer = PeerState::default();
        let member = member("/ip4/192.0.2.1/tcp/1");
        let relay: Multiaddr = "/ip4/192.0.2.9/tcp/9".parse().unwrap();
        let circuits = || vec![circuit(&relay, PeerId::random(), Some(PeerId::random()))];
        let all = peer.dial_candidates(&member, circuits());
        assert!(all.len() == 2 && is_relayed(&all[0]) && all[1] == member.addresses[0]);
        assert_eq!(peer.dial_candidates(&member, Vec::new()), member.addresses);
        peer.connections.push(Connection {
            id: ConnectionId::new_unchecked(1),
            relayed: true,
            since: Monotonic(0),
        });
        assert_eq!(peer.dial_candidates(&member, circuits()), member.addresses);
    }
}
