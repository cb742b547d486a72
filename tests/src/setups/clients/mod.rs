//! One file per sort of VPN client, and the servers they connect to.

pub(super) mod container;
mod device;
pub(super) mod fake_ip;
mod fake_names;
pub(super) mod mullvad;
pub(super) mod namespace;
pub(super) mod openconnect;
pub(super) mod openvpn;
pub(super) mod proton;
mod provider_nat;
pub(super) mod router_vpn;
pub(super) mod strongswan;
pub(super) mod wg_quick;

pub(super) use provider_nat::translate;
