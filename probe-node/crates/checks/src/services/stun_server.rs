//! Public STUN servers.

use crate::{
    dns::name,
    error::CheckError,
    services::host::{Host, socket_address},
    settings::Service,
};

/// The default port of STUN (RFC 8489, section 14.1).
const STUN_PORT: u16 = 3478;

/// A public STUN server in parsed form.
#[derive(Clone, Debug)]
pub(crate) struct StunServer {
    pub(crate) name: String,
    pub(crate) host: Host,
    pub(crate) port: u16,
}

impl StunServer {
    /// Parses `host:port` or `host`, where the host is an IP address or a name.
    pub(crate) fn parse(service: &Service) -> Result<Self, CheckError> {
        let wrong = || CheckError::service(&service.name, &service.address, "host:port");
        if let Some(address) = socket_address(&service.address, STUN_PORT) {
            let (host, port) = (Host::Address(address.ip()), address.port());
            return Ok(Self { name: service.name.clone(), host, port });
        }
        let (host, port) = match service.address.split_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
            None => (service.address.as_str(), STUN_PORT),
        };
        name::parse(host).map_err(|_| wrong())?;
        Ok(Self { name: service.name.clone(), host: Host::Name(host.to_owned()), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_name_or_an_address_with_an_optional_port() {
        let parse = |address: &str| {
            StunServer::parse(&Service::new("s", address)).map(|server| (server.host, server.port))
        };
        let name = Host::Name("stun.example".into());
        assert_eq!(parse("stun.example").unwrap(), (name.clone(), 3478));
        assert_eq!(parse("stun.example:19302").unwrap(), (name, 19302));
        let address = Host::Address("2001:db8::1".parse().unwrap());
        assert_eq!(parse("[2001:db8::1]:3479").unwrap(), (address.clone(), 3479));
        assert_eq!(parse("2001:db8::1").unwrap(), (address, 3478));
        assert!(parse("stun.example:port").is_err() && parse("").is_err());
    }
}
