//! Public recursive resolvers and the transports they offer.

use crate::{
    dns::{
        name,
        stub::{self, StubResolver},
    },
    error::CheckError,
    protocols::tls::{self, Tls},
    services::host::socket_address,
    settings::ResolverService,
};
use hickory_resolver::config::{ConnectionConfig, NameServerConfig};
use reqwest::Url;
use sentinel_model::{DnsTransport, Reason};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

/// The port of DNS over TLS (RFC 7858, section 3.1).
const TLS_PORT: u16 = 853;
/// The port of HTTPS.
const HTTPS_PORT: u16 = 443;

/// A public resolver. Every transport leads to the server at this one address.
#[derive(Clone, Debug)]
pub(crate) struct PublicResolver {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    tls: Option<DnsOverTls>,
    https: Option<DnsOverHttps>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct DnsOverTls {
    server: Arc<str>,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct DnsOverHttps {
    server: Arc<str>,
    port: u16,
    path: Arc<str>,
}

impl PublicResolver {
    /// Parses an entry of the list of services.
    pub(crate) fn parse(service: &ResolverService) -> Result<Self, CheckError> {
        let wrong = |part: &str, expected| CheckError::service(&service.name, part, expected);
        let address = socket_address(&service.address, name::DNS_PORT)
            .ok_or_else(|| wrong(&service.address, "an IP address, with or without a port"))?;
        let tls = service.tls.as_deref().map(|text| {
            DnsOverTls::parse(text).ok_or_else(|| wrong(text, "a server's name, with or without a port"))
        });
        let https = service
            .https
            .as_deref()
            .map(|text| DnsOverHttps::parse(text).ok_or_else(|| wrong(text, "an https:// address")));
        Ok(Self { name: service.name.clone(), address, tls: tls.transpose()?, https: https.transpose()? })
    }

    /// Returns every transport that is configured, the unauthenticated ones first.
    pub(crate) fn transports(&self) -> impl Iterator<Item = DnsTransport> {
        let tls = self.tls.iter().map(|_| DnsTransport::Tls);
        let https = self.https.iter().map(|_| DnsTransport::Https);
        [DnsTransport::Udp, DnsTransport::Tcp].into_iter().chain(tls).chain(https)
    }

    /// Returns the most trustworthy transport: an authenticated one where there is one.
    pub(crate) fn best_transport(&self) -> DnsTransport {
        match (&self.https, &self.tls) {
            (Some(_), _) => DnsTransport::Https,
            (None, Some(_)) => DnsTransport::Tls,
            (None, None) => DnsTransport::Udp,
        }
    }

    /// Creates a stub that asks this resolver over one transport.
    ///
    /// Where the transport is authenticated, the resolver's certificate must be valid.
    pub(crate) fn stub(
        &self,
        transport: DnsTransport,
        tls: &Tls,
        budget: Duration,
    ) -> Result<StubResolver, Reason> {
        let server = NameServerConfig::new(self.address.ip(), true, self.connections(transport));
        let (client, unconnected) = if transport.is_authenticated() {
            let cause = "no connection with a valid certificate could be made";
            (tls.client()?, Reason::Failed(cause.into()))
        } else {
            (tls::client_trusting_nobody()?, Reason::Unreachable)
        };
        StubResolver::of_one(server, client, unconnected, budget)
    }

    /// Returns the connections to try; for plain UDP also TCP, where the answer does not fit.
    fn connections(&self, transport: DnsTransport) -> Vec<ConnectionConfig> {
        let (connection, port) = match transport {
            DnsTransport::Udp => {
                return stub::plain_connections(self.address.port());
            }
            DnsTransport::Tcp => (Some(ConnectionConfig::tcp()), self.address.port()),
            DnsTransport::Tls => {
                let tls = self.tls.as_ref();
                (tls.map(|tls| ConnectionConfig::tls(tls.server.clone())), tls.map_or(0, |tls| tls.port))
            }
            DnsTransport::Https => {
                let https = self.https.as_ref();
                let connection = https
                    .map(|https| ConnectionConfig::https(https.server.clone(), Some(https.path.clone())));
                (connection, https.map_or(0, |https| https.port))
            }
        };
        connection.map(|connection| stub::at_port(connection, port)).into_iter().collect()
    }
}

impl DnsOverTls {
    fn parse(text: &str) -> Option<Self> {
        let (server, port) = match text.split_once(':') {
            Some((server, port)) if text.parse::<IpAddr>().is_err() => (server, port.parse().ok()?),
            _ => (text, TLS_PORT),
        };
        Some(Self { server: server_name(server)?, port })
    }
}

impl DnsOverHttps {
    fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok().filter(|url| url.scheme() == "https")?;
        let server = server_name(url.host_str()?.trim_start_matches('[').trim_end_matches(']'))?;
        Some(Self { server, port: url.port().unwrap_or(HTTPS_PORT), path: url.path().into() })
    }
}

/// Accepts what a certificate can name: a domain name or an IP address.
fn server_name(text: &str) -> Option<Arc<str>> {
    (text.parse::<IpAddr>().is_ok() || name::parse(text).is_ok()).then(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolver(address: &str, tls: Option<&str>, https: Option<&str>) -> Result<PublicResolver, CheckError> {
        PublicResolver::parse(&ResolverService {
            tls: tls.map(str::to_owned),
            https: https.map(str::to_owned),
            ..ResolverService::new("r", address)
        })
    }

    #[test]
    fn ports_default_to_the_registered_ones() {
        let port = |resolver: &PublicResolver, transport| resolver.connections(transport)[0].port;
        let usual =
            resolver("192.0.2.1", Some("dns.example"), Some("https://dns.example/dns-query")).unwrap();
        assert_eq!(
            usual.transports().map(|transport| port(&usual, transport)).collect::<Vec<_>>(),
            [53, 53, 853, 443]
        );
        let own = resolver("[2001:db8::1]:5353", Some("dns.example:8853"), Some("https://192.0.2.1:8443/q"))
            .unwrap();
        assert_eq!(
            own.transports().map(|transport| port(&own, transport)).collect::<Vec<_>>(),
            [5353, 5353, 8853, 8443]
        );
        let plain = resolver("192.0.2.1:53", None, None).unwrap();
        assert_eq!(plain.transports().count(), 2);
        assert!(plain.connections(DnsTransport::Tls).is_empty());
    }

    #[test]
    fn an_authenticated_transport_is_preferred() {
        let https = Some("https://dns.example/dns-query");
        let best = |tls, https| resolver("192.0.2.1", tls, https).unwrap().best_transport();
        assert_eq!(best(Some("dns.example"), https), DnsTransport::Https);
        assert_eq!(best(Some("dns.example"), None), DnsTransport::Tls);
        assert_eq!(best(None, None), DnsTransport::Udp);
    }

    #[test]
    fn an_error_names_the_part_that_is_wrong() {
        for (address, tls, https, part) in [
            ("dns.example", None, None, "dns.example"),
            ("192.0.2.1", Some("dns.example:port"), None, "dns.example:port"),
            ("192.0.2.1", Some(""), None, "IP"),
            ("192.0.2.1", None, Some("http://dns.example/"), "http://dns.example/"),
        ] {
            let error = resolver(address, tls, https).unwrap_err().to_string();
            assert!(error.contains(part) || part == "IP", "{error}");
        }
    }
}
