//! Public services in parsed form, ready to be contacted.

pub(crate) mod echo;
pub(crate) mod host;
pub(crate) mod portal;
pub(crate) mod public_resolver;
pub(crate) mod stun_server;
pub(crate) mod whoami_zone;
