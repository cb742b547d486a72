//! One file per VPN client, and the servers they connect to.

pub(super) mod openvpn;
mod provider_nat;
pub(super) mod wg_quick;

pub(super) use provider_nat::translate;
