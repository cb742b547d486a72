//! Round trips: whether a path became faster than it was, or is faster than the tunnel allows.
//!
//! - [`Detector`] notices when one path becomes faster than it has ever been.
//! - `Targets` keeps one detector per path and asks for a majority of targets.
//! - `Floor` compares round trips with the one to the tunnel's far end outside the tunnel.

mod detector;
mod floor;
mod path_history;
mod recent_trips;
mod targets;
mod underlay;

pub use detector::{Detector, Drop, Params};
pub(crate) use floor::LatencyFloor;
pub(crate) use targets::{LatencyInputs, Targets};
