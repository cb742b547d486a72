//! The VPN: two providers, their WireGuard servers, and the laptop's end of the tunnel.

mod device;
mod provider;
mod server;
mod tunnel;

pub(crate) use device::{KeyPair, WireGuardDevice};
pub(crate) use provider::{EXAMPLE_VPN, OTHER_VPN};
pub(crate) use server::VpnServer;
pub use tunnel::INTERFACE;
pub(crate) use tunnel::Tunnel;
