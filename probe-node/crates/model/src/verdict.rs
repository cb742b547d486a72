//! The verdict: the one state a person sees.

use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The one state a person sees. `Unverified` is never shown as safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// Several voices agree that the exit is not home, and nothing contradicts them.
    Protected,
    /// There is proof that protection is lost.
    Exposed,
    /// There is a sign that protection is lost, but no proof yet.
    Suspect,
    /// Protection can be neither confirmed nor ruled out at the moment.
    Unverified,
    /// Switched off on purpose: judging is paused, or the VPN was never on.
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

/// Whose observations a verdict rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Assurance {
    /// At least one of the user's own nodes is among the voices.
    Witnessed,
    /// All voices are public services.
    PublicOnly,
}

/// The verdict with its reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictView {
    /// The state.
    pub verdict: Verdict,
    /// Whose observations it rests on. `None` without any voice.
    pub assurance: Option<Assurance>,
    /// The facts in one sentence, without the name of the verdict.
    ///
    /// For example: `2 of your nodes see you at 203.0.113.12 (Example VPN, Sweden); names are
    /// resolved inside the tunnel.`
    pub sentence: String,
    /// When the verdict last changed.
    pub since: Timestamp,
    /// When fresh observations last confirmed it, if ever.
    pub verified_at: Option<Timestamp>,
}
