//! Who operates which addresses, and which addresses are not public.

use sentinel_model::{Asn, IpNet, Owner};
use serde::Deserialize;
use std::path::PathBuf;

/// `[[network]]`: who operates an address range.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// The address range.
    pub prefix: IpNet,
    /// The AS that originates it.
    pub asn: Option<Asn>,
    /// The name of its operator.
    pub name: String,
    /// The country it is used in.
    pub country: Option<String>,
}

impl NetworkConfig {
    /// Returns the owner that this entry names.
    pub fn owner(&self) -> Owner {
        Owner { asn: self.asn, name: self.name.clone(), country: self.country.clone() }
    }
}

/// `[ownership]`: where to look up the operators of addresses that no `[[network]]` covers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OwnershipConfig {
    /// A MaxMind DB file on this machine.
    pub file: Option<PathBuf>,
}

/// `[bogons]`: the addresses that do not count as public.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BogonsConfig {
    /// The ranges, replacing the built-in table of special-purpose addresses.
    pub ranges: Option<Vec<IpNet>>,
}
