//! What observations mean.
//!
//! The judge is a pure state machine: observations go in through [`Judge::observe`], and [`Judge::assess`] says what they
//! add up to at a given moment: findings, incidents, one verdict, and the notices a person should get. It does no I/O,
//! reads no clock and draws no random numbers, so every situation can be replayed exactly.
//!
//! Each part rules on one question (`exit`, `dns`, `answers`, `interception`, `latency` and `targets`, `floor`, `routes`,
//! `killswitch`, `nodes`) and hands back
//! a result: what it found, and what it was able to tell at all. The difference between "absent" and "cannot tell" is
//! what keeps silence from ever passing for safety. `alerts` turns rulings into incidents, `verdict` into the one state
//! a person sees, `words` into sentences.

mod alerts;
mod dns;
mod exit;
mod judge;
pub mod latency;
mod nodes;
mod part_result;
mod pipeline;
mod policy;
mod tunnel;
mod verdict;
mod wording;

pub use alerts::default_rules;
pub use judge::Judge;
pub use pipeline::Assessment;
pub use policy::{ExitChange, Policy, Thresholds, default_bogons};
