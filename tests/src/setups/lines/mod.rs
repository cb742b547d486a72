//! One file per line.

pub(super) mod ethernet;
