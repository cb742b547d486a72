//! Pairing: how a node that is not a member yet joins the swarm.
//!
//! 1. The new node proves that it holds the secret of an open invitation.
//! 2. It waits, visible to the owner, until the owner has compared its fingerprint and confirmed.
//! 3. It gets the membership log, which then contains it.
//!
//! A secret is valid only for the first node that proves it, so a leaked invitation results in at
//! most one visible request.

pub(crate) mod desk;
pub(crate) mod join_attempt;
pub(crate) mod proof;
pub(crate) mod protocol;
