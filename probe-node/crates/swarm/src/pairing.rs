//! How a node that is no member yet is heard: it proves that it holds an open invitation's secret, waits visibly until
//! the owner has compared its fingerprint, and is then handed the membership log. A secret serves the first node that
//! proves it and no other, so a leaked invitation yields one visible request at most.

use crate::{
    identity,
    invitation::Secret,
    membership::{Member, SwarmId},
    wire,
};
use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use libp2p::{Multiaddr, PeerId, StreamProtocol};
use sentinel_model::{NodeRole, PendingNode, Timestamp};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use sha2::{Digest, Sha256};
use std::fmt;

/// The protocol a guest speaks, the only one it is offered.
pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/vpnsentinel/pairing/1");
/// A knock is small.
pub(crate) const MAX_KNOCK_BYTES: u64 = 8 * 1024;
/// An answer may carry a whole membership log.
pub(crate) const MAX_ANSWER_BYTES: u64 = 16 * 1024 * 1024;
/// How many invitations may be open at a time.
pub(crate) const MAX_OFFERS: usize = 16;

/// What a node that wants in says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Knock {
    /// The swarm it was invited to.
    pub swarm: SwarmId,
    /// Proof that it holds the secret, bound to both nodes.
    pub proof: [u8; 32],
    /// What it calls itself.
    pub name: String,
    /// What it is for.
    pub role: NodeRole,
    /// Where it can be reached.
    pub addresses: Vec<Multiaddr>,
    /// Whether it passes traffic on for members.
    pub relay: bool,
}

/// What it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// The owner has not decided yet; knock again soon.
    Waiting,
    /// It is a member; here is the log that says so.
    Welcome(Vec<ByteBuf>),
    /// It will not be admitted with this invitation.
    Refused(Refusal),
}

/// Why a node is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Refusal {
    /// No such invitation is open here.
    Unknown,
    /// It was, and its time is over.
    Expired,
    /// Another node took it up.
    Used,
    /// This node was expelled.
    Revoked,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "it does not know this invitation (it forgets them when it restarts); make a new one",
            Self::Expired => "the invitation has expired; make a new one",
            Self::Used => "the invitation was already used by another node; if that was not you, revoke that node, then make a new one",
            Self::Revoked => "this node was revoked, which is for ever; move its state directory away so that it gets a new identity",
        })
    }
}

/// Proof of the secret, bound to the swarm and to both nodes, so that it is worth nothing to anyone in between.
pub(crate) fn proof(secret: Secret, swarm: SwarmId, inviter: &PeerId, joiner: &PeerId) -> [u8; 32] {
    mac(secret, swarm, inviter, joiner).map(|mac| mac.finalize().into_bytes().into()).unwrap_or_default()
}

fn proves(secret: Secret, swarm: SwarmId, inviter: &PeerId, joiner: &PeerId, proof: &[u8; 32]) -> bool {
    mac(secret, swarm, inviter, joiner).is_some_and(|mac| mac.verify_slice(proof).is_ok())
}

fn mac(secret: Secret, swarm: SwarmId, inviter: &PeerId, joiner: &PeerId) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret.0).ok()?;
    mac.update(b"vpnsentinel pairing 1\0");
    mac.update(&swarm.0);
    mac.update(&inviter.to_bytes());
    mac.update(&joiner.to_bytes());
    Some(mac)
}

/// What both people compare: eight letters and digits that stand for this joiner at this inviter with this secret.
pub(crate) fn fingerprint(secret: Secret, swarm: SwarmId, inviter: &PeerId, joiner: &PeerId) -> String {
    let proof = proof(secret, swarm, inviter, joiner);
    let digest = Sha256::new().chain_update(b"vpnsentinel fingerprint 1\0").chain_update(proof).finalize();
    let text: String = BASE32_NOPAD.encode(&digest).chars().take(8).collect();
    format!("{}-{}", text.get(..4).unwrap_or_default(), text.get(4..).unwrap_or_default())
}

/// A fingerprint as a person types it: spaces, hyphens and capitals do not matter.
pub(crate) fn same_fingerprint(typed: &str, shown: &str) -> bool {
    let plain = |text: &str| -> String {
        text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect()
    };
    plain(typed) == plain(shown)
}

#[derive(Debug)]
struct Offer {
    secret: Secret,
    expires: Timestamp,
    taken: Option<Guest>,
}

/// The node that took an invitation up.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    /// Who.
    pub peer: PeerId,
    /// What it shows its person.
    pub fingerprint: String,
    /// What the log will say of it.
    pub member: Member,
    admitted: bool,
}

/// What a knock came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Knocked {
    /// A new request that the owner should see.
    Pending,
    /// A known one, still waiting.
    StillPending,
    /// It has been confirmed.
    Admitted,
    /// No.
    Refused(Refusal),
}

/// The inviter's side: which invitations are open and who took them up.
#[derive(Debug, Default)]
pub(crate) struct Door {
    offers: Vec<Offer>,
}

/// How long a lapsed invitation is remembered, so that its late user hears "expired" and not "unknown".
const REMEMBER: i64 = 24 * 3600 * 1000;

impl Door {
    /// Opens an invitation. `false` if too many are open.
    pub(crate) fn open(&mut self, secret: Secret, expires: Timestamp, now: Timestamp) -> bool {
        self.offers.retain(|offer| now.0 < offer.expires.0.saturating_add(REMEMBER));
        if self.offers.iter().filter(|offer| now < offer.expires).count() >= MAX_OFFERS {
            return false;
        }
        if self.offers.len() >= 2 * MAX_OFFERS {
            self.offers.remove(0);
        }
        self.offers.push(Offer { secret, expires, taken: None });
        true
    }

    /// Whether strangers may knock at all: as long as an invitation has neither lapsed nor brought its node in.
    pub(crate) fn is_open(&self, now: Timestamp) -> bool {
        let spent = |offer: &Offer| offer.taken.as_ref().is_some_and(|guest| guest.admitted);
        self.offers.iter().any(|offer| now < offer.expires && !spent(offer))
    }

    /// Hears a knock.
    pub(crate) fn knock(
        &mut self,
        swarm: SwarmId,
        me: &PeerId,
        joiner: &PeerId,
        knock: &Knock,
        now: Timestamp,
    ) -> Knocked {
        if knock.swarm != swarm || !wire::addresses_are_sane(&knock.addresses) {
            return Knocked::Refused(Refusal::Unknown);
        }
        let offer =
            self.offers.iter_mut().find(|offer| proves(offer.secret, swarm, me, joiner, &knock.proof));
        let Some(offer) = offer else { return Knocked::Refused(Refusal::Unknown) };
        match &offer.taken {
            Some(guest) if guest.peer != *joiner => Knocked::Refused(Refusal::Used),
            Some(guest) if guest.admitted => Knocked::Admitted,
            _ if now >= offer.expires => Knocked::Refused(Refusal::Expired),
            Some(_) => Knocked::StillPending,
            None => {
                let fingerprint = fingerprint(offer.secret, swarm, me, joiner);
                let member = Member {
                    name: wire::presentable_name(&knock.name),
                    role: knock.role,
                    addresses: knock.addresses.clone(),
                    relay: knock.relay,
                };
                offer.taken = Some(Guest { peer: *joiner, fingerprint, member, admitted: false });
                Knocked::Pending
            }
        }
    }

    /// Whether a node has proved that it holds an invitation.
    pub(crate) fn knows(&self, peer: &PeerId) -> bool {
        self.offers.iter().any(|offer| offer.taken.as_ref().is_some_and(|guest| guest.peer == *peer))
    }

    /// Finds the waiting node that shows this fingerprint.
    pub(crate) fn find(&self, typed: &str, now: Timestamp) -> Option<&Guest> {
        self.waiting(now).find(|guest| same_fingerprint(typed, &guest.fingerprint))
    }

    /// The owner said yes.
    pub(crate) fn admit(&mut self, peer: &PeerId) {
        for guest in self.offers.iter_mut().filter_map(|offer| offer.taken.as_mut()) {
            guest.admitted |= guest.peer == *peer;
        }
    }

    /// The nodes that wait for the owner.
    pub(crate) fn pending(&self, now: Timestamp) -> Vec<PendingNode> {
        self.waiting(now)
            .map(|guest| PendingNode {
                id: identity::node_id(&guest.peer),
                name: guest.member.name.clone(),
                fingerprint: guest.fingerprint.clone(),
            })
            .collect()
    }

    fn waiting(&self, now: Timestamp) -> impl Iterator<Item = &Guest> {
        self.offers
            .iter()
            .filter(move |offer| now < offer.expires)
            .filter_map(|offer| offer.taken.as_ref())
            .filter(|guest| !guest.admitted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libp2p::identity::Keypair;

    const SECRET: Secret = Secret([7; 16]);
    const SWARM: SwarmId = SwarmId([9; 32]);

    fn peer() -> PeerId {
        Keypair::generate_ed25519().public().to_peer_id()
    }

    fn knock(secret: Secret, me: &PeerId, joiner: &PeerId) -> Knock {
        Knock {
            swarm: SWARM,
            proof: proof(secret, SWARM, me, joiner),
            name: "new".into(),
            role: NodeRole::Probe,
            addresses: Vec::new(),
            relay: false,
        }
    }

    #[test]
    fn a_secret_serves_the_first_node_that_proves_it() {
        let (me, first, second) = (peer(), peer(), peer());
        let mut door = Door::default();
        assert!(!door.is_open(Timestamp(0)));
        assert!(door.open(SECRET, Timestamp(100), Timestamp(0)));
        let knocked = |door: &mut Door, joiner: &PeerId, at| {
            door.knock(SWARM, &me, joiner, &knock(SECRET, &me, joiner), Timestamp(at))
        };
        assert_eq!(knocked(&mut door, &first, 1), Knocked::Pending);
        assert_eq!(knocked(&mut door, &first, 2), Knocked::StillPending);
        assert_eq!(knocked(&mut door, &second, 3), Knocked::Refused(Refusal::Used));
        let shown = door.pending(Timestamp(4)).remove(0).fingerprint;
        assert_eq!(shown, fingerprint(SECRET, SWARM, &me, &first));
        assert!(door.find("AAAA-AAAA", Timestamp(4)).is_none());
        assert!(door.find(&shown.to_lowercase().replace('-', " "), Timestamp(4)).is_some());
        assert!(door.is_open(Timestamp(4)));
        door.admit(&first);
        assert!(!door.is_open(Timestamp(4)), "a used invitation lets nobody else come near");
        assert_eq!(knocked(&mut door, &first, 5), Knocked::Admitted);
        assert!(door.pending(Timestamp(5)).is_empty());
        // Its welcome may be late: an admitted node is let in even after the invitation has lapsed.
        assert_eq!(knocked(&mut door, &first, 500), Knocked::Admitted);
    }

    #[test]
    fn a_wrong_secret_another_joiner_or_a_late_one_is_refused() {
        let (me, joiner, thief) = (peer(), peer(), peer());
        let mut door = Door::default();
        door.open(SECRET, Timestamp(100), Timestamp(0));
        let mut heard = |knock: &Knock, from: &PeerId, at| door.knock(SWARM, &me, from, knock, Timestamp(at));
        let wrong = knock(Secret([8; 16]), &me, &joiner);
        assert_eq!(heard(&wrong, &joiner, 1), Knocked::Refused(Refusal::Unknown));
        // A proof overheard from one node is worth nothing to another.
        assert_eq!(heard(&knock(SECRET, &me, &joiner), &thief, 1), Knocked::Refused(Refusal::Unknown));
        assert_eq!(heard(&knock(SECRET, &me, &joiner), &joiner, 100), Knocked::Refused(Refusal::Expired));
    }

    #[test]
    fn there_is_a_limit_to_open_invitations() {
        let mut door = Door::default();
        for index in 0..MAX_OFFERS {
            assert!(door.open(Secret([u8::try_from(index).unwrap(); 16]), Timestamp(100), Timestamp(0)));
        }
        assert!(!door.open(SECRET, Timestamp(100), Timestamp(0)));
        assert!(door.open(SECRET, Timestamp(300), Timestamp(200)));
    }
}
