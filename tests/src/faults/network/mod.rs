//! Faults of the laptop's network: routes, firewalls, the servers of its LAN, programs, roaming,
//! and time.

mod firewall;
mod lan;
mod program;
mod roaming;
mod routes;
mod time;

pub(super) use firewall::block_ipv6;
pub(crate) use firewall::set_kill_switch;
pub(super) use lan::{set_captive_portal, set_dhcp_route, set_router_advertisement};
pub(crate) use program::open_early_connection;
pub(super) use program::{is_program_outside_answered, set_program_outside};
pub(super) use roaming::roam;
pub(crate) use routes::create_second_table;
pub(super) use routes::{set_policy_rule, set_route_outside};
pub(crate) use time::fake_clock;
pub(super) use time::{shift_clock, suspend_laptop};
