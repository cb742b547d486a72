//! The real `vpnsentinel-node` on the lab's hosts.

mod config;
mod lifecycle;
mod node;

pub(crate) use lifecycle::{start, start_all, stop};
pub use node::{NODE_PROGRAM, Node, find_node_program};
