//! The loop that owns the state.
//!
//! ```text
//! network changes, wake --+                       +-> judge --> store --> snapshot
//! timers ------------------+-> checks (own tasks) -+              +---> outbox
//! commands ----------------+      observations
//! events of the swarm -----+
//! ```
//!
//! One step of the loop takes one input, judges, hands over what changed, publishes and announces:
//!
//! 1. [`event_loop`] waits for an input: a change, an observation, a command, an event, a timer.
//! 2. [`start_checks`] starts checks, each in its own task; [`observe`] takes in what they find.
//! 3. [`assess`] judges, hands over incidents and notices, publishes the snapshot, announces the
//!    verdict.
//! 4. [`commands`] and [`home_line`] carry out what the user asks for.
//!
//! Nothing here waits for the network or the disk: checks return their observations through a
//! bounded channel, and [`storage`](crate::storage) writes what the loop hands over.

mod announcer;
mod assess;
mod commands;
mod event_loop;
mod home_line;
mod measuring;
mod observe;
mod publisher;
mod recorder;
mod rounds;
mod start;
mod start_checks;
mod state;

pub(crate) use commands::CommandRequest;
pub(crate) use start::{RunningActor, start};
