//! From the configuration file to what each part wants to know.

use crate::{
    config::{self, AddressService, Config, ExitChange},
    error::EngineError,
};
use jiff::tz::TimeZone;
use sentinel_checks::{
    ListedService, Ownership, PortalService, ResolverService, Service, Services, Settings,
};
use sentinel_judge::{self as judge, Policy, Thresholds, default_bogons, default_rules};
use sentinel_model::{Clock, FindingKind, Home, IpNet, Millis, Rule, Timestamp, UtcOffset};
use sentinel_swarm as swarm;
use std::fs;

/// Voices outlive two missed beacons, and five seconds at the least.
const VOICE_TTL: Millis = Millis(5000);

/// The user's table first, then the file, then the service.
pub(crate) fn ownership(config: &Config) -> Result<Ownership, EngineError> {
    let table = config.network.iter().map(|network| (network.prefix, network.owner())).collect();
    let ownership = Ownership::new(table).with_services(&services(config))?;
    Ok(match &config.ownership.file {
        Some(file) => ownership.with_file(file)?,
        None => ownership,
    })
}

pub(crate) fn checks(config: &Config) -> Settings {
    Settings {
        services: services(config),
        panel: config.panel.clone(),
        timeout: config.cadence.timeout.0,
        whoami_zones: Vec::new(),
        spread: sentinel_checks::default_spread(),
        past_tunnel: config.past_tunnel,
        endpoint: config.expectation.endpoint,
        excluded: config.expectation.excluded.clone(),
        bogons: bogons(config),
    }
}

/// The built-in services less those switched off, and the user's own.
fn services(config: &Config) -> Services {
    let own = &config.services;
    let address = |service: &AddressService| Service::new(&service.name, &service.address);
    let zone = |service: &config::ZoneService| Service::new(&service.name, &service.zone);
    let mut services = Services { consent: own.consent, ..Services::default() };
    let kept = |name: &String| !own.replace_defaults && !own.disabled.contains(name);
    for (list, added) in [
        (&mut services.stun, own.stun.iter().map(address).collect::<Vec<_>>()),
        (
            &mut services.https_echo,
            own.https_echo.iter().map(|echo| Service::new(&echo.name, &echo.url)).collect(),
        ),
        (&mut services.whoami, own.whoami.iter().map(zone).collect()),
        (&mut services.ownership, own.ownership.iter().map(zone).collect()),
    ] {
        list.retain(|built_in| kept(&built_in.name));
        list.extend(added);
    }
    services.resolvers.retain(|built_in| kept(&built_in.name));
    services.resolvers.extend(own.resolver.iter().map(|resolver| ResolverService {
        tls: resolver.tls.clone(),
        https: resolver.https.clone(),
        ..ResolverService::new(&resolver.name, &resolver.address)
    }));
    services.portal.retain(|built_in| kept(&built_in.name));
    services.portal.extend(
        own.portal.iter().map(|portal| {
            PortalService::new(&portal.name, &portal.url, portal.status, portal.body.as_deref())
        }),
    );
    services
}

/// A public service and whether the configuration lets it be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicService {
    /// What and where it is.
    pub service: ListedService,
    /// Whether it is on: not switched off, and the user has agreed to public services.
    pub on: bool,
}

/// Every public service: those in use by this configuration, and the built-in ones that it switches off.
pub fn public_services(config: &Config) -> Vec<PublicService> {
    let used = services(config);
    let on = used.consent;
    let used = used.list();
    let off: Vec<_> =
        Services::default().list().into_iter().filter(|service| !used.contains(service)).collect();
    let used = used.into_iter().map(|service| PublicService { service, on });
    let off = off.into_iter().map(|service| PublicService { service, on: false });
    let mut all: Vec<_> = used.chain(off).collect();
    all.sort_by_key(|it| it.service.kind);
    all
}

/// What the user should know of the configuration, though it can be used: names under `disabled` that no built-in service
/// has, since whoever wrote them believes to have switched something off.
pub fn remarks(config: &Config) -> Vec<String> {
    let built_in = Services::default().list();
    let unknown = |name: &&String| !built_in.iter().any(|service| service.name == **name);
    let names = config.services.disabled.iter().filter(unknown);
    let remark = |name| {
        format!(
            "`services.disabled` names {name:?}, and no built-in service is called so: nothing is switched off by it. \
             `vpnsentinel-node config services` prints the names"
        )
    };
    names.map(remark).collect()
}

/// The machine's offset from UTC at that time; UTC if the system does not say.
pub(crate) fn offset(at: Timestamp) -> UtcOffset {
    jiff::Timestamp::from_millisecond(at.0)
        .map(|at| UtcOffset(TimeZone::system().to_offset(at).seconds()))
        .unwrap_or_default()
}

pub(crate) fn swarm(
    config: &Config,
    membership: Vec<Vec<u8>>,
    invitation: Option<String>,
    clock: Clock,
) -> swarm::SwarmConfig {
    let own = &config.swarm;
    swarm::SwarmConfig {
        state_dir: config.state_dir.clone(),
        name: config.name.clone(),
        role: config.role,
        listen: own.listen.clone(),
        external: own.external.clone(),
        stun: own.stun.clone(),
        stun_external: own.stun_external.clone(),
        canary: own
            .canary
            .as_ref()
            .map(|canary| swarm::CanaryConfig { zone: canary.zone.clone(), listen: canary.listen.clone() }),
        relay: own.relay,
        membership,
        invitation,
        clock,
    }
}

/// The invitation a container was given in a file.
pub(crate) fn invitation(config: &Config) -> Result<Option<String>, EngineError> {
    let Some(path) = &config.swarm.invitation_file else { return Ok(None) };
    let text =
        fs::read_to_string(path).map_err(|cause| EngineError::Invitation { path: path.clone(), cause })?;
    Ok(Some(text.trim().to_owned()))
}

fn bogons(config: &Config) -> Vec<IpNet> {
    config.bogons.ranges.clone().unwrap_or_else(default_bogons)
}

pub(crate) fn policy(config: &Config, home: Home, own_tunnel_known: bool, offset: UtcOffset) -> Policy {
    let mut thresholds = Thresholds::default();
    if let Some(drop) = config.thresholds.latency_drop_percent {
        thresholds.latency_drop = drop.fraction();
    }
    if let Some(names) = config.thresholds.dns_mismatch_names {
        thresholds.dns_mismatch_names = usize::from(names.get());
    }
    thresholds.exit_change = match config.thresholds.exit_change {
        ExitChange::Ignore => judge::ExitChange::Ignore,
        ExitChange::Inform => judge::ExitChange::Inform,
        ExitChange::Alarm => judge::ExitChange::Alarm,
    };
    thresholds.voice_ttl = VOICE_TTL.max(Millis(config.cadence.beacon.0.0 * 3));
    thresholds.round_ttl = thresholds.round_ttl.max(Millis(config.cadence.round.0.0 * 3));
    Policy {
        home,
        expectation: config.expectation.clone(),
        thresholds,
        rules: rules(&config.rule, config.thresholds.exit_change),
        bogons: bogons(config),
        offset,
        own_tunnel_known,
        consent: config.services.consent,
    }
}

/// The built-in rules, the quiet one on a moved address loud if that must not happen, with those of the user in place of the ones of the same name.
fn rules(own: &[Rule], exit_change: ExitChange) -> Vec<Rule> {
    let mut built_in = default_rules();
    for rule in built_in.iter_mut().filter(|rule| rule.finding == FindingKind::ExitAddressChanged) {
        rule.notify |= exit_change == ExitChange::Alarm;
    }
    let kept = built_in.into_iter().filter(|rule| own.iter().all(|mine| mine.id != rule.id));
    kept.chain(own.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stun(text: &str) -> Vec<String> {
        services(&Config::parse(text).unwrap()).stun.into_iter().map(|service| service.name).collect()
    }

    #[test]
    fn services_are_switched_off_added_and_replaced_by_name() {
        let built_in = stun("");
        assert!(built_in.len() >= 2);
        let first = &built_in[0];
        assert!(!stun(&format!("[services]\ndisabled = [\"{first}\"]")).contains(first));
        let own = "[[services.stun]]\nname = \"mine\"\naddress = \"192.0.2.1:3478\"";
        assert_eq!(stun(own).len(), built_in.len() + 1);
        assert_eq!(stun(&format!("[services]\nreplace_defaults = true\n{own}")), ["mine"]);
    }

    #[test]
    fn every_public_service_is_listed_and_off_without_consent_or_when_switched_off() {
        let listed = |text: &str| public_services(&Config::parse(text).unwrap());
        let off = listed("");
        assert!(off.len() >= 15 && off.iter().all(|it| !it.on));
        let on = listed("[services]\nconsent = true\ndisabled = [\"google\"]");
        assert_eq!(on.len(), off.len());
        let switched_off: Vec<_> = on.iter().filter(|it| !it.on).map(|it| it.service.name.as_str()).collect();
        assert_eq!(switched_off, ["google"]);
        let misspelt = Config::parse("[services]\ndisabled = [\"google\", \"gogle\"]").unwrap();
        assert!(remarks(&misspelt).len() == 1 && remarks(&misspelt)[0].contains("gogle"));
    }

    #[test]
    fn resolvers_keep_every_way_they_are_given() {
        let text = "[services]\ndisabled = [\"google\"]\n[[services.resolver]]\nname = \"mine\"\n\
                    address = \"192.0.2.1\"\ntls = \"dns.example\"\nhttps = \"https://dns.example/dns-query\"";
        let resolvers = services(&Config::parse(text).unwrap()).resolvers;
        assert!(resolvers.iter().all(|resolver| resolver.name != "google"));
        let mine = resolvers.last().unwrap();
        assert_eq!((mine.name.as_str(), mine.tls.as_deref()), ("mine", Some("dns.example")));
        assert!(mine.https.is_some());
    }

    #[test]
    fn an_ownership_file_that_cannot_be_used_is_named_with_the_way_out() {
        let config = Config::parse("[ownership]\nfile = \"/nonexistent/asn.mmdb\"").unwrap();
        let error = ownership(&config).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/asn.mmdb") && error.contains("[ownership]"), "{error}");
    }

    #[test]
    fn what_a_moved_exit_means_reaches_the_judge() {
        let judged = |text: &str| policy(&Config::parse(text).unwrap(), Home::default(), false, UtcOffset(0));
        let loud = |policy: &Policy| {
            policy.rules.iter().any(|rule| rule.finding == FindingKind::ExitAddressChanged && rule.notify)
        };
        let (plain, alarm) = (judged(""), judged("[thresholds]\nexit_change = \"alarm\""));
        assert_eq!(plain.thresholds.exit_change, judge::ExitChange::Inform);
        assert_eq!(alarm.thresholds.exit_change, judge::ExitChange::Alarm);
        assert!(!loud(&plain) && loud(&alarm));
        let held = judged("[expectation]\nkill_switch = true\nexcluded = [\"192.0.2.0/24\"]");
        assert!(held.expectation.kill_switch && held.expectation.excluded.len() == 1);
    }

    #[test]
    fn portal_services_are_switched_off_added_and_replaced_like_the_others() {
        let portal = |text: &str| services(&Config::parse(text).unwrap()).portal;
        let built_in = portal("");
        assert!(built_in.len() >= 3);
        let off = format!("[services]\ndisabled = [\"{}\"]", built_in[0].name);
        assert_eq!(portal(&off), built_in[1..]);
        let own = "[services]\nreplace_defaults = true\n[[services.portal]]\nname = \"mine\"\n\
                   url = \"http://portal.example/\"\nstatus = 204\n";
        assert_eq!(portal(own), [PortalService::new("mine", "http://portal.example/", Some(204), None)]);
    }

    #[test]
    fn a_rule_of_the_same_name_replaces_the_built_in_one() {
        let built_in = rules(&[], ExitChange::Inform);
        let mut mine = built_in[0].clone();
        mine.notify = !mine.notify;
        let merged = rules(std::slice::from_ref(&mine), ExitChange::Inform);
        assert_eq!(merged.len(), built_in.len());
        assert!(merged.contains(&mine) && !merged.contains(&built_in[0]));
    }
}
