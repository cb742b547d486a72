//! From findings to incidents and notices.
//!
//! Every finding is tracked once under every rule that selects its kind: first as a candidate,
//! then, when the rule's trigger is met, as an open incident. A graver finding inhibits those it
//! explains.

mod candidate;
mod incident;
mod inhibition;
mod notices;
mod onsets;
mod open_incident;
mod presence;
mod rules;
mod tracker;

pub use rules::default_rules;
pub(crate) use tracker::{AlertInputs, IncidentChanges, IncidentTracker};
