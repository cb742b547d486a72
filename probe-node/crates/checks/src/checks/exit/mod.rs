//! Check "exit": the address the world sees, per family.
//!
//! Witnesses and public STUN servers report it in [`stun`], HTTPS services in [`https_echo`].

pub(crate) mod https_echo;
pub(crate) mod stun;
mod voice;
pub(crate) mod voice_routes;
