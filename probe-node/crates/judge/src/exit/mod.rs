//! The exit of each IP version: the address the world sees, as voices report it.
//!
//! [`FamilyExit`] remembers what each voice reported last, the quorum decides what the voices of
//! one moment amount to, and the findings follow from both.

mod family_exit;
mod findings;
mod quorum;
mod view;
mod voice_record;

pub(crate) use family_exit::{ExitTallies, FamilyExit};
pub(crate) use findings::LocalEvidence;
pub(crate) use quorum::{Quorum, Tally, VoiceReport};
