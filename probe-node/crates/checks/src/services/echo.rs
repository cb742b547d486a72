//! HTTPS services whose response is the caller's address.

use crate::{
    error::CheckError,
    services::host::{Host, parse_url},
    settings::Service,
};
use reqwest::Url;

/// An HTTPS echo service in parsed form.
#[derive(Clone, Debug)]
pub(crate) struct EchoService {
    pub(crate) name: String,
    pub(crate) url: Url,
    pub(crate) host: Host,
}

impl EchoService {
    /// Parses an `https://` URL.
    pub(crate) fn parse(service: &Service) -> Result<Self, CheckError> {
        let (url, host) = parse_url(&service.name, &service.address, "https", "an https:// address")?;
        Ok(Self { name: service.name.clone(), url, host })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    #[test]
    fn only_https_addresses_are_accepted() {
        let parse = |address: &str| EchoService::parse(&Service::new("echo", address));
        assert!(
            matches!(parse("https://echo.example/ip").unwrap().host, Host::Name(name) if name == "echo.example")
        );
        assert!(matches!(parse("https://[2001:db8::1]/").unwrap().host, Host::Address(IpAddr::V6(_))));
        for bad in ["http://echo.example/", "echo.example", "https://", "file:///etc/passwd"] {
            let error = parse(bad).unwrap_err().to_string();
            assert!(error.contains(bad) && error.contains("[services]"), "{error}");
        }
    }
}
