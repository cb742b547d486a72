//! Round trips: whether a path became faster than it was, or faster than the tunnel allows.

mod detector;
mod floor;
mod targets;
mod underlay;

pub use detector::{Detector, Drop, Params};
pub(crate) use floor::Floor;
pub(crate) use targets::Targets;
