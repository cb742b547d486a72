//! What observations mean.
//!
//! The judge is a pure state machine. Observations go in through [`Judge::observe`];
//! [`Judge::assess`] returns what they amount to at a moment: findings, incidents, one verdict, and
//! the notices a person should get. It does no I/O, reads no clock and draws no random numbers, so
//! that every situation can be replayed exactly.
//!
//! Each part answers one question and has a folder or file of its own:
//!
//! | part | question |
//! |---|---|
//! | `exit` | Which address does the world see, and how many voices agree? |
//! | `dns` | Who resolves names, and are the answers right? |
//! | `tunnel` | Which interface is the tunnel, and what leaves outside it? |
//! | [`latency`] | Did a path become faster than it was, or faster than the tunnel allows? |
//! | `nodes` | Which of the user's other nodes have fallen silent? |
//! | `connectivity` | Is there a network at all, and does any voice answer? |
//!
//! A part returns its findings and the questions it could determine (`part_result`). The difference
//! between "absent" and "undetermined" is what keeps silence from ever passing for safety. `alerts`
//! turns the results into incidents, `verdict` into the one state a person sees. `judge` holds the
//! parts, and `pipeline` runs them in order.

mod alerts;
mod bounded;
mod connectivity;
mod context;
mod dated;
mod dns;
mod evaluation;
mod exit;
mod judge;
pub mod latency;
mod nodes;
mod part_result;
mod pipeline;
mod policy;
mod probes;
mod tunnel;
mod verdict;
mod wording;

pub use alerts::default_rules;
pub use judge::Judge;
pub use pipeline::Assessment;
pub use policy::{ExitChange, Policy, Thresholds, default_bogons};
