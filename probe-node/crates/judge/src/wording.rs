//! The words people read: titles of notices, lists of names, and what is said when it is over. Sentence case, no blame:
//! the fact, who saw it, since when, what to do.

use sentinel_model::{
    Attributed, Entity, Family, FindingKind, Home, Incident, Millis, Source, Verdict, Voice, humanize,
};

/// `a`, `a and b`, `a, b and c`, `a, b, c and 4 more`.
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

/// The names of voices, own nodes first, each once.
pub(crate) fn names<'a>(voices: impl Iterator<Item = &'a Voice>) -> String {
    let mut ranked: Vec<(bool, String)> =
        voices.map(|voice| (matches!(voice.source, Source::Service(_)), voice.name.clone())).collect();
    ranked.sort();
    ranked.dedup();
    list(&ranked.into_iter().map(|(_, name)| name).collect::<Vec<_>>())
}

/// `2 of your nodes and 1 service`.
pub(crate) fn count<'a>(voices: impl Iterator<Item = &'a Voice>) -> String {
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

/// `see` after several, `sees` after one.
pub(crate) fn see(count: usize) -> &'static str {
    if count == 1 { "sees" } else { "see" }
}

/// An address as a person should read it: home is called home, anything else has its owner.
pub(crate) fn address(seen: &Attributed, home: &Home) -> String {
    if home.contains(seen) { format!("{} (home line)", seen.address) } else { seen.to_string() }
}

/// The title once it is over.
pub(crate) fn title_over(incident: &Incident, verdict: Verdict) -> String {
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
        Kind::TunnelDown => "The tunnel is up again",
        Kind::WitnessesSilent => "Your VPN can be verified again",
        Kind::NodeSilent => return format!("{} is back", entity("A node")),
        Kind::Offline => "The network is back",
    }
    .to_owned()
}

/// How many of the probes made while an incident was open left outside the tunnel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProbeCount {
    pub made: u64,
    pub outside: u64,
}

impl ProbeCount {
    pub fn plus(self, other: Self) -> Self {
        Self { made: self.made + other.made, outside: self.outside + other.outside }
    }

    pub fn since(self, earlier: Self) -> Self {
        Self {
            made: self.made.saturating_sub(earlier.made),
            outside: self.outside.saturating_sub(earlier.outside),
        }
    }
}

/// What is said once it is over.
pub(crate) fn body_over(
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

/// `v4`, `v6` or `any`, for identifiers.
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
}
