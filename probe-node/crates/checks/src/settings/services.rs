//! Public services a node may contact, as data.
//!
//! None is contacted before the user has consented, and each can be disabled by itself. The types
//! of single services deserialise from their sections of the configuration file.

use serde::Deserialize;

/// Public services, and whether they may be contacted.
#[derive(Clone, Debug)]
pub struct Services {
    /// Whether the user agreed to contact public services; without it the lists are ignored.
    pub consent: bool,
    /// STUN servers (RFC 8489): `host:port`, or `host` for port 3478.
    pub stun: Vec<Service>,
    /// HTTPS services whose response is the caller's address only: `https://host/path`.
    pub https_echo: Vec<Service>,
    /// Names whose authoritative servers answer TXT questions with the address that asked.
    ///
    /// Either the name itself, or `*.zone` if every name below the zone is answered.
    pub whoami: Vec<Service>,
    /// Recursive resolvers to compare answers with.
    pub resolvers: Vec<ResolverService>,
    /// DNS zones that report who operates an address; the first enabled one is used.
    ///
    /// They have the form that Team Cymru serves: `origin.<zone>`, `origin6.<zone>` and
    /// `AS<n>.<zone>`.
    pub ownership: Vec<Service>,
    /// Services with a known response over plain HTTP, which reveal captive portals.
    pub portal: Vec<PortalService>,
}

/// One public service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name in messages, and as a voice.
    pub name: String,
    /// Its address, in the form that its kind requires.
    pub address: String,
    /// Whether it may be contacted.
    pub enabled: bool,
}

impl Service {
    /// Creates an enabled service.
    pub fn new(name: &str, address: &str) -> Self {
        Self { name: name.to_owned(), address: address.to_owned(), enabled: true }
    }
}

/// One line of the list of public services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedService {
    /// The kind of service, as the configuration calls it.
    pub kind: &'static str,
    /// Its name, by which it is disabled.
    pub name: String,
    /// Its address.
    pub address: String,
}

/// A public recursive resolver and the transports it offers.
///
/// Every transport connects to `address`, so no other resolver is needed to find it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolverService {
    /// Its name in messages and evidence.
    pub name: String,
    /// Its IP address with an optional port, by default 53.
    pub address: String,
    /// The name on its certificate for DNS over TLS (RFC 7858), with an optional port, by default
    /// 853.
    #[serde(default)]
    pub tls: Option<String>,
    /// Its URL for DNS over HTTPS (RFC 8484): `https://name/path`.
    #[serde(default)]
    pub https: Option<String>,
    /// Whether it may be contacted. Not a key of the configuration file.
    #[serde(skip, default = "enabled")]
    pub enabled: bool,
}

impl ResolverService {
    /// Creates an enabled resolver that offers plain DNS only.
    pub fn new(name: &str, address: &str) -> Self {
        Self { name: name.to_owned(), address: address.to_owned(), tls: None, https: None, enabled: true }
    }
}

/// A service with a known response over plain HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortalService {
    /// Its name in messages.
    pub name: String,
    /// Its address: `http://host/path`.
    pub url: String,
    /// The status of the expected response, by default 200.
    #[serde(default = "status_ok")]
    pub status: u16,
    /// The expected body, compared without surrounding white space; `None` accepts any.
    #[serde(default)]
    pub body: Option<String>,
    /// Whether it may be contacted. Not a key of the configuration file.
    #[serde(skip, default = "enabled")]
    pub enabled: bool,
}

impl PortalService {
    /// Creates an enabled service; `status` defaults to 200.
    pub fn new(name: &str, url: &str, status: Option<u16>, body: Option<&str>) -> Self {
        Self {
            name: name.to_owned(),
            url: url.to_owned(),
            status: status.unwrap_or_else(status_ok),
            body: body.map(str::to_owned),
            enabled: true,
        }
    }
}

fn enabled() -> bool {
    true
}

fn status_ok() -> u16 {
    200
}

impl Default for Services {
    /// Returns the built-in list, without consent.
    ///
    /// Each kind spans several operators on networks of their own, because two services on one
    /// network count as one voice.
    fn default() -> Self {
        let list = |entries: &[(&str, &str)]| {
            entries.iter().map(|(name, address)| Service::new(name, address)).collect()
        };
        Self {
            consent: false,
            stun: list(&[
                ("stun.cloudflare.com", "stun.cloudflare.com:3478"),
                ("stun.l.google.com", "stun.l.google.com:19302"),
                ("stun.nextcloud.com", "stun.nextcloud.com:3478"),
            ]),
            https_echo: list(&[
                ("checkip.amazonaws.com", "https://checkip.amazonaws.com/"),
                ("icanhazip.com", "https://icanhazip.com/"),
                ("ident.me", "https://ident.me/"),
                ("ipinfo.io", "https://ipinfo.io/ip"),
                ("api64.ipify.org", "https://api64.ipify.org/"),
            ]),
            whoami: list(&[
                ("google whoami", "o-o.myaddr.l.google.com"),
                ("akamai whoami", "whoami.ds.akahelp.net"),
            ]),
            resolvers: [
                ("cloudflare", "1.1.1.1", "cloudflare-dns.com"),
                ("google", "8.8.8.8", "dns.google"),
                ("quad9", "9.9.9.9", "dns.quad9.net"),
            ]
            .map(|(name, address, server)| ResolverService {
                tls: Some(server.to_owned()),
                https: Some(format!("https://{server}/dns-query")),
                ..ResolverService::new(name, address)
            })
            .to_vec(),
            ownership: list(&[("team-cymru", "asn.cymru.com")]),
            // The services that browsers and systems use themselves, so portals are known to react.
            portal: vec![
                PortalService::new(
                    "connectivitycheck.gstatic.com",
                    "http://connectivitycheck.gstatic.com/generate_204",
                    Some(204),
                    None,
                ),
                PortalService::new(
                    "detectportal.firefox.com",
                    "http://detectportal.firefox.com/success.txt",
                    None,
                    Some("success"),
                ),
                PortalService::new(
                    "www.msftconnecttest.com",
                    "http://www.msftconnecttest.com/connecttest.txt",
                    None,
                    Some("Microsoft Connect Test"),
                ),
            ],
        }
    }
}

impl Services {
    /// Returns every service with its kind, whether or not it may be contacted.
    pub fn list(&self) -> Vec<ListedService> {
        let line = |kind, name: &str, address: &str| ListedService {
            kind,
            name: name.to_owned(),
            address: address.to_owned(),
        };
        let plain = [
            ("stun", &self.stun),
            ("https_echo", &self.https_echo),
            ("whoami", &self.whoami),
            ("ownership", &self.ownership),
        ];
        let plain = plain.into_iter().flat_map(|(kind, services)| {
            services.iter().map(move |service| line(kind, &service.name, &service.address))
        });
        let resolvers =
            self.resolvers.iter().map(|resolver| line("resolver", &resolver.name, &resolver.address));
        let portals = self.portal.iter().map(|portal| line("portal", &portal.name, &portal.url));
        plain.chain(resolvers).chain(portals).collect()
    }

    /// Returns the services of one list that may be contacted.
    pub(crate) fn allowed<'a>(&self, list: &'a [Service]) -> impl Iterator<Item = &'a Service> + use<'a> {
        let consent = self.consent;
        list.iter().filter(move |service| consent && service.enabled)
    }

    /// Returns the public resolvers that may be contacted.
    pub(crate) fn allowed_resolvers(&self) -> impl Iterator<Item = &ResolverService> {
        self.resolvers.iter().filter(|resolver| self.consent && resolver.enabled)
    }

    /// Returns the portal services that may be contacted.
    pub(crate) fn allowed_portals(&self) -> impl Iterator<Item = &PortalService> {
        self.portal.iter().filter(|portal| self.consent && portal.enabled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_allowed_without_consent_and_each_service_can_be_disabled() {
        let mut services = Services::default();
        assert_eq!(services.allowed(&services.stun).count(), 0);
        assert_eq!(services.allowed_resolvers().count(), 0);
        services.consent = true;
        let all = services.allowed(&services.stun).count();
        assert!(all >= 3);
        services.stun[0].enabled = false;
        assert_eq!(services.allowed(&services.stun).count(), all - 1);
        assert_eq!(services.allowed_resolvers().count(), 3);
        services.resolvers[1].enabled = false;
        assert_eq!(services.allowed_resolvers().count(), 2);
    }

    #[test]
    fn services_are_read_from_their_keys_alone() {
        use serde::de::value::{Error, MapDeserializer};
        let resolver = |keys: &[(&'static str, &'static str)]| {
            ResolverService::deserialize(MapDeserializer::<_, Error>::new(keys.iter().copied()))
        };
        let plain = [("name", "public-dns"), ("address", "192.0.2.1:53")];
        assert_eq!(resolver(&plain), Ok(ResolverService::new("public-dns", "192.0.2.1:53")));
        assert!(resolver(&plain[..1]).is_err(), "a resolver needs an address");
        assert!(resolver(&[plain[0], plain[1], ("enabled", "true")]).is_err(), "not a key");

        let portal = |keys: &[(&'static str, &'static str)]| {
            PortalService::deserialize(MapDeserializer::<_, Error>::new(keys.iter().copied()))
        };
        let keys = [("name", "mine"), ("url", "http://portal.example/")];
        assert_eq!(portal(&keys), Ok(PortalService::new("mine", "http://portal.example/", Some(200), None)));
        assert!(portal(&[keys[0], keys[1], ("address", "x")]).is_err(), "not a key");
    }
}
