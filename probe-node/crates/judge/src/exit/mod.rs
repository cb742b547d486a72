//! The exit of each IP version: the address the world sees.

mod evidence;
mod family_exit;
mod findings;
mod quorum;
mod view;

pub(crate) use family_exit::{ExitTallies, FamilyExit};
pub(crate) use findings::LocalEvidence;
pub(crate) use quorum::{Quorum, Tally, VoiceReport};
