//! The text that commands print. Everything here turns values into text and does no I/O.

mod config;
mod home;
mod incidents;
mod needs;
mod nodes;
mod snapshot;
#[cfg(test)]
mod tests;

pub(crate) use config::{configuration, services, services_json};
pub(crate) use home::home;
pub(crate) use incidents::incidents;
pub(crate) use nodes::nodes;
pub(crate) use snapshot::snapshot;
