//! A public resolver and the ways to it, parsed from its entry in the list of services.

use crate::{error::CheckError, names, settings::ResolverService};
use hickory_resolver::config::ConnectionConfig;
use reqwest::Url;
use sentinel_model::DnsTransport;
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// The port of DNS over TLS (RFC 7858, section 3.1).
const TLS_PORT: u16 = 853;
/// The port of HTTPS.
const HTTPS_PORT: u16 = 443;

/// A public resolver. Whatever the way, it is the server at this one address that is asked.
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
    /// Takes an entry apart.
    pub(crate) fn parse(service: &ResolverService) -> Result<Self, CheckError> {
        let wrong = |part: &str, expected| CheckError::Service {
            name: service.name.clone(),
            address: part.to_owned(),
            expected,
        };
        let address = socket_address(&service.address, names::PORT)
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

    /// Every way that is configured, the plain ones first.
    pub(crate) fn ways(&self) -> impl Iterator<Item = DnsTransport> {
        let tls = self.tls.iter().map(|_| DnsTransport::Tls);
        let https = self.https.iter().map(|_| DnsTransport::Https);
        [DnsTransport::Udp, DnsTransport::Tcp].into_iter().chain(tls).chain(https)
    }

    /// How to connect, by one way or, for plain DNS, by UDP and then by TCP where the answer needs it.
    pub(crate) fn connections(&self, way: DnsTransport) -> Vec<ConnectionConfig> {
        let (connection, port) = match way {
            DnsTransport::Udp => {
                return names::plain(self.address.port());
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
        connection.map(|connection| names::at_port(connection, port)).into_iter().collect()
    }

    /// The way whose answers are worth most: one that only the resolver itself can answer on, where there is one.
    pub(crate) fn best_way(&self) -> DnsTransport {
        match (&self.https, &self.tls) {
            (Some(_), _) => DnsTransport::Https,
            (None, Some(_)) => DnsTransport::Tls,
            (None, None) => DnsTransport::Udp,
        }
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

/// What a certificate can be for: a domain name or an address.
fn server_name(text: &str) -> Option<Arc<str>> {
    (text.parse::<IpAddr>().is_ok() || names::parse(text).is_ok()).then(|| text.into())
}

/// An address with the port it is given, or this one.
pub(crate) fn socket_address(text: &str, port: u16) -> Option<SocketAddr> {
    text.parse().ok().or_else(|| Some(SocketAddr::new(text.parse().ok()?, port)))
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
    fn ports_are_the_registered_ones_unless_told() {
        let port = |resolver: &PublicResolver, way| resolver.connections(way)[0].port;
        let usual =
            resolver("192.0.2.1", Some("dns.example"), Some("https://dns.example/dns-query")).unwrap();
        assert_eq!(usual.ways().map(|way| port(&usual, way)).collect::<Vec<_>>(), [53, 53, 853, 443],);
        let own = resolver("[2001:db8::1]:5353", Some("dns.example:8853"), Some("https://192.0.2.1:8443/q"))
            .unwrap();
        assert_eq!(own.ways().map(|way| port(&own, way)).collect::<Vec<_>>(), [5353, 5353, 8853, 8443]);
        let plain = resolver("192.0.2.1:53", None, None).unwrap();
        assert_eq!(plain.ways().count(), 2);
        assert!(plain.connections(DnsTransport::Tls).is_empty());
    }

    #[test]
    fn the_comparison_prefers_answers_nobody_else_can_give() {
        let https = Some("https://dns.example/dns-query");
        let best = |tls, https| resolver("192.0.2.1", tls, https).unwrap().best_way();
        assert_eq!(best(Some("dns.example"), https), DnsTransport::Https);
        assert_eq!(best(Some("dns.example"), None), DnsTransport::Tls);
        assert_eq!(best(None, None), DnsTransport::Udp);
    }

    #[test]
    fn mistakes_name_the_part_that_is_wrong() {
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
