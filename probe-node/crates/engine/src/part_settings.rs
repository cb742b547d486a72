//! Converts the configuration into the settings of each part: checks, judge, swarm.

use crate::{config::Config, error::EngineError, local_time, services::configured_services};
use sentinel_checks::{Ownership, PastTunnel, Settings};
use sentinel_judge::{ExitChange, Policy, Thresholds, default_bogons, default_rules};
use sentinel_model::{Clock, FindingKind, Home, IpNet, Millis, Rule, Timestamp};
use sentinel_swarm as swarm;
use std::{fs, sync::Arc};

/// The shortest time for which a voice counts after its last report, whatever the beacon interval.
const MIN_VOICE_TTL: Millis = Millis::secs(5);

/// A voice and a round count for this many intervals, so that two may be lost.
const TTL_INTERVALS: u64 = 3;

/// Builds the lookup of operators: first `[[network]]`, then the file, then the public service.
pub(crate) fn ownership(config: &Config) -> Result<Ownership, EngineError> {
    let table = config.network.iter().map(|network| (network.prefix, network.owner())).collect();
    let ownership = Ownership::new(table).with_services(&configured_services(config))?;
    Ok(match &config.ownership.file {
        Some(file) => ownership.with_file(file)?,
        None => ownership,
    })
}

/// Returns the settings of the checks.
pub(crate) fn check_settings(config: &Config) -> Settings {
    Settings {
        services: configured_services(config),
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

/// Returns the settings of the swarm.
///
/// `membership` is the stored log, oldest entry first. The invitation is read from the file that
/// the configuration names.
pub(crate) fn swarm_config(
    config: &Config,
    membership: Vec<Vec<u8>>,
    names: Arc<dyn swarm::ResolveNames>,
    clock: Clock,
) -> Result<swarm::SwarmConfig, EngineError> {
    let own = &config.swarm;
    let invitation = match read_invitation(config) {
        // A member has no use for the file any more, and it may be gone.
        Err(error) if !membership.is_empty() => {
            tracing::warn!(%error, "The invitation is not needed any more");
            None
        }
        read => read?,
    };
    Ok(swarm::SwarmConfig {
        state_dir: config.state_dir.clone(),
        name: config.name.clone(),
        role: config.role,
        listen: own.listen.clone(),
        external: own.external.clone(),
        stun: own.stun.clone(),
        stun_external: own.stun_external.clone(),
        canary: own.canary.clone(),
        relay: own.relay,
        membership,
        invitation,
        names,
        clock,
    })
}

fn read_invitation(config: &Config) -> Result<Option<String>, EngineError> {
    let Some(path) = &config.swarm.invitation_file else { return Ok(None) };
    let text =
        fs::read_to_string(path).map_err(|cause| EngineError::Invitation { path: path.clone(), cause })?;
    Ok(Some(text.trim().to_owned()))
}

/// Returns the policy of the judge. `now` decides the offset from UTC used in sentences.
pub(crate) fn judge_policy(config: &Config, home: Home, own_tunnel_known: bool, now: Timestamp) -> Policy {
    Policy {
        home,
        expectation: config.expectation.clone(),
        thresholds: thresholds(config),
        rules: rules(&config.rule, config.thresholds.exit_change),
        bogons: bogons(config),
        offset: local_time::utc_offset(now),
        own_tunnel_known,
        consent: config.services.consent,
        tests_past_tunnel: config.past_tunnel != PastTunnel::Off,
    }
}

fn thresholds(config: &Config) -> Thresholds {
    let mut thresholds = Thresholds { exit_change: config.thresholds.exit_change, ..Thresholds::default() };
    if let Some(drop) = config.thresholds.latency_drop_percent {
        thresholds.latency_drop = drop.fraction();
    }
    if let Some(names) = config.thresholds.dns_mismatch_names {
        thresholds.dns_mismatch_names = usize::from(names.get());
    }
    thresholds.voice_ttl = MIN_VOICE_TTL.max(Millis(config.cadence.beacon.0.0 * TTL_INTERVALS));
    thresholds.round_ttl = thresholds.round_ttl.max(Millis(config.cadence.round.0.0 * TTL_INTERVALS));
    thresholds
}

/// Returns the built-in rules, those of the user replacing the ones with the same id.
///
/// The built-in rule for a changed address does not notify, unless the user chose `exit_change =
/// "alarm"`.
fn rules(own: &[Rule], exit_change: ExitChange) -> Vec<Rule> {
    let mut built_in = default_rules();
    for rule in built_in.iter_mut().filter(|rule| rule.finding == FindingKind::ExitAddressChanged) {
        rule.notify |= exit_change == ExitChange::Alarm;
    }
    let kept = built_in.into_iter().filter(|rule| own.iter().all(|mine| mine.id != rule.id));
    kept.chain(own.iter().cloned()).collect()
}

fn bogons(config: &Config) -> Vec<IpNet> {
    config.bogons.ranges.clone().unwrap_or_else(default_bogons)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::future::BoxFuture;
    use sentinel_model::{Family, Reason};
    use std::net::IpAddr;

    struct NoNames;

    impl swarm::ResolveNames for NoNames {
        fn resolve<'a>(&'a self, _: &'a str, _: Family) -> BoxFuture<'a, Result<Vec<IpAddr>, Reason>> {
            Box::pin(async { Err(Reason::Unsupported) })
        }
    }

    #[test]
    fn an_ownership_file_that_cannot_be_used_is_named_with_the_way_out() {
        let config = Config::parse("[ownership]\nfile = \"/nonexistent/asn.mmdb\"").unwrap();
        let error = ownership(&config).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/asn.mmdb") && error.contains("[ownership]"), "{error}");
    }

    #[test]
    fn the_configured_meaning_of_a_changed_exit_reaches_the_judge() {
        let judged =
            |text: &str| judge_policy(&Config::parse(text).unwrap(), Home::default(), false, Timestamp(0));
        let loud = |policy: &Policy| {
            policy.rules.iter().any(|rule| rule.finding == FindingKind::ExitAddressChanged && rule.notify)
        };
        let (plain, alarm) = (judged(""), judged("[thresholds]\nexit_change = \"alarm\""));
        assert_eq!(plain.thresholds.exit_change, ExitChange::Inform);
        assert_eq!(alarm.thresholds.exit_change, ExitChange::Alarm);
        assert!(!loud(&plain) && loud(&alarm));
        let held = judged("[expectation]\nkill_switch = true\nexcluded = [\"192.0.2.0/24\"]");
        assert!(held.expectation.kill_switch && held.expectation.excluded.len() == 1);
    }

    #[test]
    fn a_rule_with_the_same_id_replaces_the_built_in_one() {
        let built_in = rules(&[], ExitChange::Inform);
        let mut mine = built_in[0].clone();
        mine.notify = !mine.notify;
        let merged = rules(std::slice::from_ref(&mine), ExitChange::Inform);
        assert_eq!(merged.len(), built_in.len());
        assert!(merged.contains(&mine) && !merged.contains(&built_in[0]));
    }

    #[test]
    fn voices_and_rounds_count_for_three_intervals_and_never_less_than_the_defaults() {
        let thresholds = |text: &str| thresholds(&Config::parse(text).unwrap());
        let default = thresholds("");
        assert_eq!((default.voice_ttl, default.round_ttl), (Millis::secs(5), Millis::secs(90)));
        let slow = thresholds("[cadence]\nbeacon = \"4s\"\nround = \"2min\"\n");
        assert_eq!((slow.voice_ttl, slow.round_ttl), (Millis::secs(12), Millis::secs(360)));
    }

    #[test]
    fn a_missing_invitation_file_is_named_with_the_way_out() {
        let config = Config::parse("[swarm]\ninvitation_file = \"/nonexistent/invitation\"").unwrap();
        let error = read_invitation(&config).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/invitation") && error.contains("[swarm]"), "{error}");
        assert_eq!(read_invitation(&Config::default()).unwrap(), None);
        let clock: Clock = Arc::new(sentinel_model::Moment::default);
        let names = Arc::new(NoNames);
        assert!(swarm_config(&config, Vec::new(), names.clone(), clock.clone()).is_err());
        let member =
            swarm_config(&config, vec![vec![1]], names, clock).expect("a member starts without the file");
        assert_eq!(member.invitation, None);
    }
}
