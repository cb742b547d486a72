//! The public services in use: the built-in list, as the configuration changes it.

use crate::config::{AddressService, Config, UrlService, ZoneService};
use sentinel_checks::{ListedService, Service, Services};

/// A public service, and whether the configuration lets it be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicService {
    /// The service.
    pub service: ListedService,
    /// True if the service is not disabled and the user consented to public services.
    pub on: bool,
}

/// Lists every public service: those in use, and the built-in ones that are switched off.
pub fn public_services(config: &Config) -> Vec<PublicService> {
    let in_use = configured_services(config);
    let on = in_use.consent;
    let in_use = in_use.list();
    let off: Vec<_> =
        Services::default().list().into_iter().filter(|service| !in_use.contains(service)).collect();
    let in_use = in_use.into_iter().map(|service| PublicService { service, on });
    let off = off.into_iter().map(|service| PublicService { service, on: false });
    let mut all: Vec<_> = in_use.chain(off).collect();
    all.sort_by_key(|listed| listed.service.kind);
    all
}

/// Returns warnings about a valid configuration that probably does not do what its author meant.
///
/// Today there is one: a name under `services.disabled` that no built-in service has.
pub fn config_warnings(config: &Config) -> Vec<String> {
    let built_in = Services::default().list();
    let is_unknown = |name: &&String| !built_in.iter().any(|service| service.name == **name);
    let unknown = config.services.disabled.iter().filter(is_unknown);
    let warning = |name| {
        format!(
            "`services.disabled` lists {name:?}, but there is no built-in service of that name, so the \
             entry has no effect. `vpnsentinel-node config services` prints the names"
        )
    };
    unknown.map(warning).collect()
}

/// Returns the built-in services that are not disabled, followed by the user's own.
pub(crate) fn configured_services(config: &Config) -> Services {
    let own = &config.services;
    let is_kept = |name: &String| !own.replace_defaults && !own.disabled.contains(name);
    let mut services = Services { consent: own.consent, ..Services::default() };
    for (list, added) in [
        (&mut services.stun, own.stun.iter().map(at_address).collect::<Vec<_>>()),
        (&mut services.https_echo, own.https_echo.iter().map(at_url).collect()),
        (&mut services.whoami, own.whoami.iter().map(in_zone).collect()),
        (&mut services.ownership, own.ownership.iter().map(in_zone).collect()),
    ] {
        list.retain(|built_in| is_kept(&built_in.name));
        list.extend(added);
    }
    services.resolvers.retain(|built_in| is_kept(&built_in.name));
    services.resolvers.extend_from_slice(&own.resolver);
    services.portal.retain(|built_in| is_kept(&built_in.name));
    services.portal.extend_from_slice(&own.portal);
    services
}

fn at_address(entry: &AddressService) -> Service {
    Service::new(&entry.name, &entry.address)
}

fn at_url(entry: &UrlService) -> Service {
    Service::new(&entry.name, &entry.url)
}

fn in_zone(entry: &ZoneService) -> Service {
    Service::new(&entry.name, &entry.zone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_checks::PortalService;

    fn services(text: &str) -> Services {
        configured_services(&Config::parse(text).unwrap())
    }

    fn stun_names(text: &str) -> Vec<String> {
        services(text).stun.into_iter().map(|service| service.name).collect()
    }

    #[test]
    fn services_are_disabled_added_and_replaced_by_name() {
        let built_in = stun_names("");
        assert!(built_in.len() >= 2);
        let first = &built_in[0];
        assert!(!stun_names(&format!("[services]\ndisabled = [\"{first}\"]")).contains(first));
        let own = "[[services.stun]]\nname = \"mine\"\naddress = \"192.0.2.1:3478\"";
        assert_eq!(stun_names(own).len(), built_in.len() + 1);
        assert_eq!(stun_names(&format!("[services]\nreplace_defaults = true\n{own}")), ["mine"]);
    }

    #[test]
    fn every_public_service_is_listed_and_off_without_consent_or_when_switched_off() {
        let listed = |text: &str| public_services(&Config::parse(text).unwrap());
        let off = listed("");
        assert!(off.len() >= 15 && off.iter().all(|listed| !listed.on));
        let on = listed("[services]\nconsent = true\ndisabled = [\"google\"]");
        assert_eq!(on.len(), off.len());
        let switched_off: Vec<_> =
            on.iter().filter(|listed| !listed.on).map(|listed| listed.service.name.as_str()).collect();
        assert_eq!(switched_off, ["google"]);
        let misspelt = Config::parse("[services]\ndisabled = [\"google\", \"gogle\"]").unwrap();
        assert!(config_warnings(&misspelt).len() == 1 && config_warnings(&misspelt)[0].contains("gogle"));
    }

    #[test]
    fn a_resolver_keeps_every_transport_it_is_given() {
        let text = "[services]\ndisabled = [\"google\"]\n[[services.resolver]]\nname = \"mine\"\n\
                    address = \"192.0.2.1\"\ntls = \"dns.example\"\nhttps = \"https://dns.example/dns-query\"";
        let resolvers = services(text).resolvers;
        assert!(resolvers.iter().all(|resolver| resolver.name != "google"));
        let mine = resolvers.last().unwrap();
        assert_eq!((mine.name.as_str(), mine.tls.as_deref()), ("mine", Some("dns.example")));
        assert!(mine.https.is_some());
    }

    #[test]
    fn portal_services_are_disabled_added_and_replaced_like_the_others() {
        let portal = |text: &str| services(text).portal;
        let built_in = portal("");
        assert!(built_in.len() >= 3);
        let off = format!("[services]\ndisabled = [\"{}\"]", built_in[0].name);
        assert_eq!(portal(&off), built_in[1..]);
        let own = "[services]\nreplace_defaults = true\n[[services.portal]]\nname = \"mine\"\n\
                   url = \"http://portal.example/\"\nstatus = 204\n";
        assert_eq!(portal(own), [PortalService::new("mine", "http://portal.example/", Some(204), None)]);
    }
}
