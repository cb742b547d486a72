//! What can go wrong in a world.
//!
//! - [`fault`] lists all faults, and [`parameters`] the values they take.
//! - [`inject`] makes a fault happen; the files for [`dns`], the [`network`], [`public_services`]
//!   and [`witnesses`] contain the commands.
//! - [`control`] proves that a fault took effect.

mod control;
mod dns;
mod fault;
mod inject;
mod network;
mod parameters;
mod public_services;
mod witnesses;

pub(crate) use control::PositiveControl;
pub use fault::Fault;
pub(crate) use network::{create_second_table, fake_clock, open_early_connection, set_kill_switch};
pub use parameters::{
    Change, DnsTransport, Falsification, FalsifiedNames, ForwardTarget, Interceptor, MalformedBody,
    NetworkName, ProgramTransport, ProviderName, Resolver, VpnExit,
};
