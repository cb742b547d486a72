//! The checks, one module each, named as in the documentation.

pub(crate) mod answers;
pub(crate) mod connectivity;
pub(crate) mod exit;
pub(crate) mod interception;
pub(crate) mod kill_switch;
mod physical;
pub(crate) mod resolver_config;
pub(crate) mod resolver_identity;
pub(crate) mod routes;
pub(crate) mod sockets;
pub(crate) mod underlay;
pub(crate) mod uplinks;
