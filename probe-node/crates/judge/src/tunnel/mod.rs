//! The tunnel and the routes around it, as the kernel reports them.
//!
//! [`RouteTable`] remembers interfaces, routes and far ends, and recognises which interface is the
//! tunnel. [`KillSwitchTests`] remembers whether packets get out past it, and [`Applications`]
//! which programs' connections bypass it.

mod applications;
mod far_end;
mod findings;
mod kill_switch;
mod path_evidence;
mod paths;
mod recognition;
mod route_queries;
mod route_table;

pub(crate) use applications::{ApplicationInputs, Applications};
pub(crate) use findings::describe_route;
pub(crate) use kill_switch::{BlockedTraffic, KillSwitchTests};
pub(crate) use recognition::ExitLocation;
pub(crate) use route_queries::{PathLocation, ResolverPathSeen};
pub(crate) use route_table::RouteTable;
