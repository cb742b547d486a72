//! The exit of each IP version: the address the world sees.

mod evidence;
mod family_exit;
mod findings;
mod quorum;
mod view;

pub(crate) use family_exit::{Line, Reading};
pub(crate) use findings::Local;
pub(crate) use quorum::{Heard, Standing, Tally};
