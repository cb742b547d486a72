//! The one state a person sees.

use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The one state a person sees. `Unverified` is never shown as safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// Several voices agree that the exit is not home and nothing contradicts them.
    Protected,
    /// Protection is lost, and there is proof.
    Exposed,
    /// Something is off, not yet proven.
    Suspect,
    /// Nobody can vouch for it now.
    Unverified,
    /// Switched off on purpose: paused, or the VPN was never on.
    Off,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Protected => "Protected",
            Self::Exposed => "Exposed",
            Self::Suspect => "Suspect",
            Self::Unverified => "Unverified",
            Self::Off => "Off",
        })
    }
}

/// Who stands behind a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Assurance {
    /// At least one of the user's own nodes is among the voices.
    Witnessed,
    /// Public services alone.
    PublicOnly,
}

/// The verdict with its reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictView {
    /// The state.
    pub verdict: Verdict,
    /// Who stands behind it, if anybody does.
    pub assurance: Option<Assurance>,
    /// The facts in one sentence, without the verdict's own word: `2 of your nodes see you at 203.0.113.12 (Example
    /// VPN, Sweden); names are resolved inside the tunnel.`
    pub sentence: String,
    /// Since when the verdict is what it is.
    pub since: Timestamp,
    /// When it was last confirmed by fresh observations, if ever.
    pub verified_at: Option<Timestamp>,
}
