//! What is shown, as plain functions of the state and the time: no browser, no signals, tested on the host.

mod chart;
mod contact;
mod fact;
mod hero;
mod invitation;
mod matrix;
mod notice;
mod text;
mod tunnel;

pub use chart::{Chart, Frame, chart};
pub use contact::{Contact, NodeClock, Standing};
pub use fact::{Badge, Fact, Tone, dns_fact, exit_fact, latency_fact};
pub use hero::{Face, hero, schedule_line};
pub use invitation::{accept_command, invite_command, run_command, time_left};
pub use matrix::{Cell, Row, rows};
pub use notice::{Open, announced_now, heard, reachability, role};
pub use text::{milliseconds, since};
pub use tunnel::{tunnel_line, worth_knowing};

#[cfg(test)]
mod contrast;
#[cfg(test)]
pub mod samples;
