//! The address of a public service: a fixed IP address or a name to resolve.

use crate::{error::CheckError, own_lookups::ServiceNames};
use reqwest::Url;
use sentinel_model::{Family, Reason};
use std::net::{IpAddr, SocketAddr};

/// The host of a public service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// A fixed address, so in one family only.
    Address(IpAddr),
    /// A name, resolved anew in every round.
    Name(String),
}

impl Host {
    /// Returns the first address of the host in a family, or `None` if it has none there.
    pub(crate) async fn locate(
        &self,
        family: Family,
        names: &ServiceNames,
    ) -> Result<Option<IpAddr>, Reason> {
        match self {
            Self::Address(address) => Ok((Family::of(*address) == family).then_some(*address)),
            Self::Name(name) => names.find(name, family).await,
        }
    }
}

/// Parses the URL of the service `name`, which must have this scheme, and the host in it.
pub(crate) fn parse_url(
    name: &str,
    url: &str,
    scheme: &str,
    expected: &'static str,
) -> Result<(Url, Host), CheckError> {
    let wrong = || CheckError::service(name, url, expected);
    let url = Url::parse(url).map_err(|_| wrong())?;
    let host = url.host_str().filter(|_| url.scheme() == scheme).ok_or_else(wrong)?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let host = bare.parse().map_or_else(|_| Host::Name(host.to_owned()), Host::Address);
    Ok((url, host))
}

/// Parses an IP address with an optional port.
pub(crate) fn socket_address(text: &str, default_port: u16) -> Option<SocketAddr> {
    text.parse().ok().or_else(|| Some(SocketAddr::new(text.parse().ok()?, default_port)))
}
