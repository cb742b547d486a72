//! The joining node's side of pairing: an invitation that this node is using.

use super::proof::fingerprint;
use crate::{invitation::Invitation, messages::Reply};
use libp2p::{PeerId, request_response::OutboundRequestId};
use sentinel_model::{Millis, Monotonic};

/// How long a person who entered an invitation waits for the first response of the inviting node.
const RESPONSE_TIMEOUT: Millis = Millis::secs(10);
/// How long a node tries to join. No invitation is valid for as long.
const JOIN_TIMEOUT: Millis = Millis::secs(3600);

/// The state of joining with an invitation.
#[derive(Debug)]
pub(crate) struct JoinAttempt {
    pub invitation: Invitation,
    /// The fingerprint that this node shows.
    pub fingerprint: String,
    /// Where to send the fingerprint or an error, if a person waits for it.
    pub reply: Option<Reply<String>>,
    /// When a waiting person is given an error for want of a response.
    pub response_deadline: Monotonic,
    /// When the attempt ends, whether or not the inviting node ever responded.
    pub deadline: Monotonic,
    pub next_request: Monotonic,
    /// The request that is not answered yet.
    pub request: Option<OutboundRequestId>,
    /// True once the inviting node has responded.
    pub responded: bool,
    /// How often the inviting node closed the connection without a response.
    pub closed_connections: u32,
    /// Why the name in an address of the inviting node cannot be used, as of the last dial.
    pub name_error: Option<String>,
}

impl JoinAttempt {
    /// Makes an attempt of which nothing has been sent yet. `me` is this node.
    pub(crate) fn new(
        invitation: Invitation,
        me: &PeerId,
        reply: Option<Reply<String>>,
        now: Monotonic,
    ) -> Self {
        let fingerprint = fingerprint(invitation.secret, invitation.swarm, &invitation.inviter, me);
        Self {
            invitation,
            fingerprint,
            reply,
            response_deadline: now.after(RESPONSE_TIMEOUT),
            deadline: now.after(JOIN_TIMEOUT),
            next_request: now,
            request: None,
            responded: false,
            closed_connections: 0,
            name_error: None,
        }
    }
}
