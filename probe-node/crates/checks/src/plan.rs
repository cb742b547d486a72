//! What one beacon or round is to measure, decided by the caller anew each time.

use sentinel_model::Voice;
use std::{fmt, net::SocketAddr};

/// What a round is to measure beyond what the settings say.
#[derive(Clone, Debug, Default)]
pub struct RoundPlan {
    /// The witnesses, for the routes that lead to them.
    pub witnesses: Vec<WitnessTarget>,
    /// Canary zones of the user's own nodes: their authoritative servers tell who asked.
    pub canary_zones: Vec<String>,
    /// Whether nobody has answered lately, so that a captive portal may be in the way.
    pub ask_portal: bool,
    /// Whether the ways out past the tunnel may be tried when only local facts are looked at.
    pub try_ways_out: bool,
}

/// One witness to exchange beacons with.
#[derive(Clone, Debug)]
pub struct WitnessTarget {
    /// Who it is, as the judge counts it.
    pub voice: Voice,
    /// Where it answers STUN. The first address of each family is used.
    pub addresses: Vec<SocketAddr>,
    /// What the exchange is signed with; nothing for a service without members.
    pub credential: Option<StunCredential>,
}

/// A short-term credential (RFC 8489, section 9.1), agreed with the witness over an encrypted channel.
#[derive(Clone, PartialEq, Eq)]
pub struct StunCredential {
    /// Goes into USERNAME, in the clear.
    pub username: String,
    /// Keys MESSAGE-INTEGRITY-SHA256 and never travels.
    pub password: String,
}

impl fmt::Debug for StunCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StunCredential").field("username", &self.username).finish_non_exhaustive()
    }
}
