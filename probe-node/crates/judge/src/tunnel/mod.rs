//! The tunnel and the routes around it, as the kernel reports them.

mod far_end;
mod findings;
mod kill_switch;
mod recognition;
mod route_table;

pub(crate) use kill_switch::{Held, WaysOut};
pub(crate) use recognition::Sighted;
pub(crate) use route_table::Paths;
