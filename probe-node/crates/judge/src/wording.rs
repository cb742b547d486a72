//! The sentences people read: lists of names, and what is said when an incident is over.
//!
//! Sentence case, no blame: the fact, who saw it, since when, what to do.

use crate::probes::ProbeCount;
use sentinel_model::{
    Attributed, Entity, Family, FindingKind, Home, Incident, Micros, Millis, Source, Verdict, Voice, humanize,
};

/// The advice where traffic leaves outside the tunnel.
pub(crate) const RECONNECT: &str = "Reconnect the VPN or go offline.";

/// Joins names: `a`, `a and b`, `a, b and c`, `a, b, c and 4 more`.
pub(crate) fn list(names: &[String]) -> String {
    const SHOWN: usize = 3;
    match names {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] if names.len() <= SHOWN => format!("{} and {last}", first.join(", ")),
        _ => {
            let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
            format!("{shown} and {} more", names.len() - SHOWN)
        }
    }
}

/// Joins the names of voices, own nodes first, each once.
pub(crate) fn list_voices<'a>(voices: impl Iterator<Item = &'a Voice>) -> String {
    let mut ranked: Vec<(bool, String)> =
        voices.map(|voice| (matches!(voice.source, Source::Service(_)), voice.name.clone())).collect();
    ranked.sort();
    ranked.dedup();
    list(&ranked.into_iter().map(|(_, name)| name).collect::<Vec<_>>())
}

/// Counts voices: `2 of your nodes and 1 service`.
pub(crate) fn count_voices<'a>(voices: impl Iterator<Item = &'a Voice>) -> String {
    let (nodes, services): (Vec<_>, Vec<_>) =
        voices.partition(|voice| matches!(voice.source, Source::Node(_)));
    let services_word = if services.len() == 1 { "service" } else { "services" };
    match (nodes.len(), services.len()) {
        (0, services) => format!("{services} public {services_word}"),
        (1, 0) => "1 of your nodes".to_owned(),
        (nodes, 0) => format!("{nodes} of your nodes"),
        (nodes, services) => format!("{nodes} of your nodes and {services} {services_word}"),
    }
}

/// Returns `see` after several voices, `sees` after one.
pub(crate) fn see(count: usize) -> &'static str {
    if count == 1 { "sees" } else { "see" }
}

/// Returns an address as people read it: home is called home, any other has its owner.
pub(crate) fn name_address(seen: &Attributed, home: &Home) -> String {
    if home.contains(seen) { format!("{} (home line)", seen.address) } else { seen.to_string() }
}

/// Returns the title of the notice that an incident is over.
pub(crate) fn end_title(incident: &Incident, verdict: Verdict) -> String {
    use FindingKind as Kind;
    let protected = verdict == Verdict::Protected;
    let entity = |unnamed| incident.entity.as_ref().map_or(unnamed, Entity::name);
    match incident.kind {
        Kind::ExitExposed | Kind::ExitUnexpected | Kind::RouteOutsideTunnel | Kind::TunnelDown
            if protected =>
        {
            "Protected again"
        }
        Kind::ExitExposed => "Your real address is no longer visible",
        Kind::ExitSuspect => "Nobody sees your real address any more",
        Kind::ExitUnexpected => "Your exit is the one you expect again",
        Kind::ExitOperatorChanged | Kind::ExitAddressChanged => "Your exit has settled",
        Kind::DnsLeak => "DNS is inside the tunnel again",
        Kind::DnsForeignResolver => "No third party resolves your names any more",
        Kind::DnsTampering => "Names resolve correctly again",
        Kind::DnsInterception => "Your resolver answers for itself again",
        Kind::LatencyDrop => "The path is steady again",
        Kind::LatencyFloor => "Traffic is as slow as your tunnel again",
        Kind::KillSwitchOpen => "Your kill switch is closed again",
        Kind::VoiceDissents => return format!("{} agrees again", entity("A voice")),
        Kind::RouteOutsideTunnel => "Traffic stays inside the tunnel again",
        Kind::ApplicationOutsideTunnel => {
            return format!("{} no longer bypasses the tunnel", entity("The program"));
        }
        Kind::TunnelDown => "The tunnel is up again",
        Kind::WitnessesSilent => "Your VPN can be verified again",
        Kind::NodeSilent => return format!("{} is back", entity("A node")),
        Kind::Offline => "The network is back",
    }
    .to_owned()
}

/// Returns the body of the notice that an incident is over.
pub(crate) fn end_body(
    incident: &Incident,
    lasted: Millis,
    probes: Option<ProbeCount>,
    flaps: u32,
) -> String {
    use FindingKind as Kind;
    let lasted = humanize(lasted);
    let over = incident.family.map(|family| format!(" over {family}")).unwrap_or_default();
    let fact = match incident.kind {
        Kind::ExitExposed => format!("Exposed for {lasted}{over}."),
        Kind::DnsLeak => format!("Names were answered outside the tunnel for {lasted}."),
        Kind::NodeSilent => format!("It was silent for {lasted}."),
        Kind::WitnessesSilent => format!("No node answered for {lasted}."),
        Kind::TunnelDown => format!("It was down for {lasted}."),
        Kind::Offline => format!("There was none for {lasted}."),
        _ => format!("It lasted {lasted}{over}."),
    };
    let fact = match flaps {
        0 => fact,
        1 => format!("{fact} It came back once in between."),
        _ => format!("{fact} It came back {flaps} times in between."),
    };
    match probes {
        Some(ProbeCount { made, outside }) if incident.kind == Kind::ExitExposed && outside > 0 => {
            format!("{fact} {outside} of {made} probes left outside the tunnel.")
        }
        _ => fact,
    }
}

/// Returns a round trip as people read it: `9.5 ms`, `80 ms`.
pub(crate) fn name_millis(rtt: Micros) -> String {
    let millis = rtt.as_millis_f64();
    if millis < 10.0 { format!("{millis:.1} ms") } else { format!("{millis:.0} ms") }
}

/// Returns `v4`, `v6` or `any`, for incident ids.
pub(crate) fn family_id(family: Option<Family>) -> &'static str {
    match family {
        Some(Family::V4) => "v4",
        Some(Family::V6) => "v6",
        None => "any",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_read_as_people_say_them() {
        let names = |count: usize| {
            ["a", "b", "c", "d", "e"].iter().take(count).map(|n| (*n).to_owned()).collect::<Vec<_>>()
        };
        for (count, text) in [(1, "a"), (2, "a and b"), (3, "a, b and c"), (5, "a, b, c and 2 more")] {
            assert_eq!(list(&names(count)), text);
        }
    }

    #[test]
    fn short_round_trips_have_a_decimal() {
        assert_eq!(name_millis(Micros(9_540)), "9.5 ms");
        assert_eq!(name_millis(Micros(80_400)), "80 ms");
    }
}
