//! The tunnel and the routes around it, as the kernel reports them.

mod far_end;
mod findings;
mod kill_switch;
mod recognition;
mod route_table;

pub(crate) use kill_switch::{BlockedTraffic, KillSwitchTests};
pub(crate) use recognition::ExitLocation;
pub(crate) use route_table::RouteTable;
