//! Public services a node may ask, as data. None is contacted before the user has consented, and each can be switched
//! off by itself.

use serde::Deserialize;

/// Public services, and whether they may be contacted.
#[derive(Clone, Debug)]
pub struct Services {
    /// Whether the user agreed to contact public services at all. Without it the lists below are ignored.
    pub consent: bool,
    /// STUN servers (RFC 8489): `host:port` or `host`, the port then being 3478.
    pub stun: Vec<Service>,
    /// HTTPS services that answer with the caller's address and nothing else: `https://host/path`.
    pub https_echo: Vec<Service>,
    /// Names whose authoritative servers answer TXT with who asked: the name itself, or `*.zone` if every name under
    /// the zone is answered.
    pub whoami: Vec<Service>,
    /// Recursive resolvers to compare answers with.
    pub resolvers: Vec<ResolverService>,
    /// DNS zones that tell who operates an address, in the form Team Cymru serves: `origin.<zone>`, `origin6.<zone>`
    /// and `AS<n>.<zone>`. The first that may be asked is.
    pub ownership: Vec<Service>,
    /// Services whose answer over plain HTTP is known beforehand, so that a captive portal's shows.
    pub portal: Vec<PortalService>,
}

/// One public service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// What people call it; also its name as a voice.
    pub name: String,
    /// Where it is, in the form its kind asks for.
    pub address: String,
    /// Whether it may be used.
    pub enabled: bool,
}

impl Service {
    /// A service that is switched on.
    pub fn new(name: &str, address: &str) -> Self {
        Self { name: name.to_owned(), address: address.to_owned(), enabled: true }
    }
}

/// One line of the list of public services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedService {
    /// What it is asked for, as the configuration calls it.
    pub kind: &'static str,
    /// Its name, by which it is switched off.
    pub name: String,
    /// Where it is.
    pub address: String,
}

/// A public recursive resolver and the ways it can be asked. Every way connects to `address`, so none needs another
/// resolver to begin with.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolverService {
    /// What people call it.
    pub name: String,
    /// `address` or `address:port`, the port then being 53.
    pub address: String,
    /// The name its certificate is for, where it speaks DNS over TLS (RFC 7858): `name` or `name:port`, the port then
    /// being 853.
    pub tls: Option<String>,
    /// Its URL, where it speaks DNS over HTTPS (RFC 8484): `https://name/path`.
    pub https: Option<String>,
    /// Whether it may be used.
    #[serde(skip, default = "enabled")]
    pub enabled: bool,
}

impl ResolverService {
    /// A resolver that is switched on and speaks plain DNS only.
    pub fn new(name: &str, address: &str) -> Self {
        Self { name: name.to_owned(), address: address.to_owned(), tls: None, https: None, enabled: true }
    }
}

fn enabled() -> bool {
    true
}

/// A service whose answer over plain HTTP is known beforehand.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "PortalEntry")]
pub struct PortalService {
    /// The service; its address is `http://host/path`.
    pub service: Service,
    /// The status it answers with: 200 unless told.
    pub status: u16,
    /// What its answer says, less white space around it; anything, if absent.
    pub body: Option<String>,
}

/// A [`PortalService`] as a configuration file spells it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PortalEntry {
    name: String,
    url: String,
    status: Option<u16>,
    body: Option<String>,
}

impl From<PortalEntry> for PortalService {
    fn from(entry: PortalEntry) -> Self {
        Self::new(&entry.name, &entry.url, entry.status, entry.body.as_deref())
    }
}

impl PortalService {
    /// A service that is switched on.
    pub fn new(name: &str, url: &str, status: Option<u16>, body: Option<&str>) -> Self {
        Self {
            service: Service::new(name, url),
            status: status.unwrap_or(200),
            body: body.map(|body| body.trim().to_owned()),
        }
    }
}

impl Default for Services {
    /// The built-in list, without consent. Each kind spans several operators on networks of their own, since two
    /// services on one network are one voice.
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
            // What browsers and systems ask themselves, so that a portal is prepared for it.
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
    /// Every service with what it is asked for, whether or not it may be contacted.
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
        let portal = self.portal.iter().map(|it| line("portal", &it.service.name, &it.service.address));
        plain.chain(resolvers).chain(portal).collect()
    }

    /// The services of one list that may be contacted now.
    pub(crate) fn allowed<'a>(&self, list: &'a [Service]) -> impl Iterator<Item = &'a Service> + use<'a> {
        let consent = self.consent;
        list.iter().filter(move |service| consent && service.enabled)
    }

    /// The public resolvers that may be contacted now.
    pub(crate) fn allowed_resolvers(&self) -> impl Iterator<Item = &ResolverService> {
        self.resolvers.iter().filter(|resolver| self.consent && resolver.enabled)
    }

    /// The services against captive portals that may be contacted now.
    pub(crate) fn allowed_portal(&self) -> impl Iterator<Item = &PortalService> {
        self.portal.iter().filter(|portal| self.consent && portal.service.enabled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_allowed_without_consent_and_each_can_be_switched_off() {
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
}
