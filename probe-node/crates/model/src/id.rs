//! Identifiers.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
    };
}

text_id! {
    /// A node's identity: its libp2p PeerId in base58.
    NodeId
}
text_id! {
    /// A rule's name, unique within one node: `exit-exposed`.
    RuleId
}
text_id! {
    /// An incident's stable name.
    ///
    /// It is the same in the store, in every notification and on every node, so that receivers
    /// recognise a notice that is delivered twice.
    IncidentId
}

/// A number that rises whenever the local network changes or the machine wakes.
///
/// An observation belongs to the epoch in which its check started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// Returns the epoch after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}
