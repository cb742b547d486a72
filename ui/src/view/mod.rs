//! What is shown, as plain functions of the state and the time: no browser, no signals.

mod chart;
mod clock;
mod connection;
mod fact;
mod hero;
mod incident;
mod invitation;
mod matrix;
mod node;
mod shape;
mod text;
mod tunnel;

pub use chart::{Chart, Frame, draw_chart};
pub use clock::NodeClock;
pub use connection::{Connection, ConnectionState};
pub use fact::{Badge, Fact, Tone, dns_fact, exit_fact, latency_fact};
pub use hero::{Hero, describe_schedule};
pub use incident::IncidentSummary;
pub use invitation::{accept_command, describe_expiry, invite_command, run_command};
pub use matrix::{Cell, Row, matrix_rows};
pub use node::{announced_shape, describe_last_heard, reachability_label, role_label};
pub use shape::VerdictShape;
pub use text::format_rtt;
pub use tunnel::{describe_tunnel, informational_sentences};

#[cfg(test)]
mod contrast;
#[cfg(test)]
pub mod samples;
