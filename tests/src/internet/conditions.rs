//! The conditions of a link: delay, jitter and loss.

use serde::Deserialize;
use std::time::Duration;

/// The conditions of a link in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Conditions {
    /// Delay of every packet.
    pub delay: Duration,
    /// Largest additional delay, evenly distributed. Packets may overtake each other if it is set.
    pub jitter: Duration,
    /// Share of packets lost, 0 to 1.
    pub loss: f64,
    /// Whether every packet is dropped.
    pub silent: bool,
}

impl Conditions {
    /// Returns conditions with nothing but a delay, in microseconds.
    pub const fn delayed(microseconds: u64) -> Self {
        Self { delay: Duration::from_micros(microseconds), jitter: Duration::ZERO, loss: 0.0, silent: false }
    }
}

/// The direction of packets on a host's link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From the host.
    Up,
    /// To the host.
    Down,
    /// In both directions.
    #[default]
    Both,
}
