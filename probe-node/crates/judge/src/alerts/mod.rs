//! From findings to incidents and notices.

mod incident;
mod rules;
mod tracker;

pub use rules::default_rules;
pub(crate) use tracker::{AlertInputs, IncidentChanges, IncidentTracker};
