//! What one beacon or round is to measure, decided by the caller each time.

use sentinel_model::{PerFamily, Voice};
use std::{fmt, net::SocketAddr};

/// What a round is to measure in addition to the settings.
#[derive(Clone, Debug, Default)]
pub struct RoundPlan {
    /// The witnesses whose routes are looked up.
    pub witnesses: Vec<WitnessTarget>,
    /// Canary zones of the user's own nodes; their authoritative servers report who asked.
    pub canary_zones: Vec<String>,
    /// True if nothing has answered lately, so that a captive portal may be in the path.
    pub ask_portal: bool,
    /// The interface that is the tunnel of each family, as far as it is known.
    ///
    /// Sockets outside it are looked for.
    pub tunnels: PerFamily<Option<String>>,
    /// Whether [`Checks::local`](crate::Checks::local) may also probe the kill switch.
    pub probe_kill_switch: bool,
}

/// One witness to exchange beacons with.
#[derive(Clone, Debug)]
pub struct WitnessTarget {
    /// The witness as the judge counts it.
    pub voice: Voice,
    /// Its STUN addresses. The first address of each family is used.
    pub addresses: Vec<SocketAddr>,
    /// Signs the exchange; `None` for a service without members.
    pub credential: Option<StunCredential>,
}

/// A short-term credential (RFC 8489, section 9.1), agreed with the witness over an encrypted
/// channel.
#[derive(Clone, PartialEq, Eq)]
pub struct StunCredential {
    /// Sent as USERNAME, in the clear.
    pub username: String,
    /// The key of MESSAGE-INTEGRITY-SHA256, never sent.
    pub password: String,
}

impl fmt::Debug for StunCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StunCredential").field("username", &self.username).finish_non_exhaustive()
    }
}
