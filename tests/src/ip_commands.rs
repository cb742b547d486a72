//! Lines for `ip -batch` that several parts of the lab need.

use anyhow::{Context, Result};
use sentinel_model::IpNet;
use std::net::IpAddr;

/// Returns the line that adds an address to a device.
///
/// It turns off duplicate address detection, which would delay an IPv6 address by a second.
pub(crate) fn add_address(address: IpNet, device: &str) -> String {
    let at_once = if matches!(address, IpNet::V6(_)) { " nodad" } else { "" };
    format!("address add {address} dev {device}{at_once}\n")
}

/// Returns an address with the length of its network's prefix.
pub(crate) fn with_length(address: impl Into<IpAddr>, length: u8) -> Result<IpNet> {
    Ok(IpNet::new(address.into(), length)?)
}

/// Parses a prefix of the plan.
pub(crate) fn parse_prefix(text: &str) -> Result<IpNet> {
    text.parse().with_context(|| format!("{text} is not a prefix"))
}
