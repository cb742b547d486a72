//! The result of a measurement, and why there may be none.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The result of a measurement: a value, or the reason why there is none.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome<T> {
    /// The measured value.
    Measured(T),
    /// The value is undetermined, for this reason.
    Unknown(Reason),
}

impl<T> Outcome<T> {
    /// Returns the value, if it was measured.
    pub fn measured(&self) -> Option<&T> {
        match self {
            Self::Measured(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }

    /// Applies `derive` to a measured value and keeps the reason otherwise.
    pub fn map<U>(self, derive: impl FnOnce(T) -> U) -> Outcome<U> {
        match self {
            Self::Measured(value) => Outcome::Measured(derive(value)),
            Self::Unknown(reason) => Outcome::Unknown(reason),
        }
    }
}

/// Why a measurement is undetermined.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "because", content = "detail")]
pub enum Reason {
    /// No answer arrived within the check's time limit.
    TimedOut,
    /// The kernel could not send the packet: no route, no address in this family, or a firewall.
    Unreachable,
    /// The service refused to answer: HTTP 429, a refused query.
    Refused(String),
    /// The answer is invalid: unparsable, wrongly signed, or a private address.
    Malformed(String),
    /// This operating system does not support the measurement.
    Unsupported,
    /// Any other reason, in words.
    Failed(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Unreachable => f.write_str("not reachable"),
            Self::Refused(detail) => write!(f, "refused: {detail}"),
            Self::Malformed(detail) => write!(f, "invalid answer: {detail}"),
            Self::Unsupported => f.write_str("not supported on this system"),
            Self::Failed(detail) => f.write_str(detail),
        }
    }
}
