//! From the configuration file to what each part wants to know.

use crate::{
    config::{AddressService, Config},
    error::EngineError,
};
use jiff::tz::TimeZone;
use sentinel_checks::{Ownership, PortalService, Service, Services, Settings};
use sentinel_judge::{Policy, Thresholds, default_bogons, default_rules};
use sentinel_model::{Clock, Home, IpNet, Millis, Rule, Timestamp, UtcOffset};
use sentinel_swarm as swarm;
use std::fs;

/// Voices outlive two missed beacons, and five seconds at the least.
const VOICE_TTL: Millis = Millis(5000);

pub(crate) fn ownership(config: &Config) -> Ownership {
    Ownership::new(config.network.iter().map(|network| (network.prefix, network.owner())).collect())
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
        bogons: bogons(config),
    }
}

/// The built-in services less those switched off, and the user's own.
fn services(config: &Config) -> Services {
    let own = &config.services;
    let address = |service: &AddressService| Service::new(&service.name, &service.address);
    let mut services = Services { consent: own.consent, ..Services::default() };
    for (list, added) in [
        (&mut services.stun, own.stun.iter().map(address).collect::<Vec<_>>()),
        (
            &mut services.https_echo,
            own.https_echo.iter().map(|echo| Service::new(&echo.name, &echo.url)).collect(),
        ),
        (&mut services.resolvers, own.resolver.iter().map(address).collect()),
        (
            &mut services.whoami,
            own.whoami.iter().map(|whoami| Service::new(&whoami.name, &whoami.zone)).collect(),
        ),
    ] {
        list.retain(|built_in| !own.replace_defaults && !own.disabled.contains(&built_in.name));
        list.extend(added);
    }
    let kept = |portal: &PortalService| !own.replace_defaults && !own.disabled.contains(&portal.service.name);
    services.portal.retain(kept);
    services.portal.extend(
        own.portal.iter().map(|portal| {
            PortalService::new(&portal.name, &portal.url, portal.status, portal.body.as_deref())
        }),
    );
    services
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
) -> swarm::Config {
    let own = &config.swarm;
    swarm::Config {
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
            .map(|canary| swarm::Canary { zone: canary.zone.clone(), listen: canary.listen.clone() }),
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

pub(crate) fn policy(config: &Config, home: Home, offset: UtcOffset) -> Policy {
    let mut thresholds = Thresholds::default();
    if let Some(drop) = config.thresholds.latency_drop_percent {
        thresholds.latency_drop = drop.fraction();
    }
    if let Some(names) = config.thresholds.dns_mismatch_names {
        thresholds.dns_mismatch_names = usize::from(names.get());
    }
    thresholds.voice_ttl = VOICE_TTL.max(Millis(config.cadence.beacon.0.0 * 3));
    thresholds.round_ttl = thresholds.round_ttl.max(Millis(config.cadence.round.0.0 * 3));
    Policy {
        home,
        expectation: config.expectation.clone(),
        thresholds,
        rules: rules(&config.rule),
        bogons: bogons(config),
        offset,
        own_tunnel_known: false,
        consent: config.services.consent,
    }
}

/// The built-in rules, with those of the user in place of the ones of the same name.
fn rules(own: &[Rule]) -> Vec<Rule> {
    let kept = default_rules().into_iter().filter(|rule| own.iter().all(|mine| mine.id != rule.id));
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
    fn portal_services_are_switched_off_added_and_replaced_like_the_others() {
        let portal = |text: &str| services(&Config::parse(text).unwrap()).portal;
        let built_in = portal("");
        assert!(built_in.len() >= 3);
        let off = format!("[services]\ndisabled = [\"{}\"]", built_in[0].service.name);
        assert_eq!(portal(&off), built_in[1..]);
        let own = "[services]\nreplace_defaults = true\n[[services.portal]]\nname = \"mine\"\n\
                   url = \"http://portal.example/\"\nstatus = 204\n";
        assert_eq!(portal(own), [PortalService::new("mine", "http://portal.example/", Some(204), None)]);
    }

    #[test]
    fn a_rule_of_the_same_name_replaces_the_built_in_one() {
        let built_in = rules(&[]);
        let mut mine = built_in[0].clone();
        mine.notify = !mine.notify;
        let merged = rules(std::slice::from_ref(&mine));
        assert_eq!(merged.len(), built_in.len());
        assert!(merged.contains(&mine) && !merged.contains(&built_in[0]));
    }
}
