//! The four facts under the verdict: value, owner, since when, and who verified it.

use super::text::format_rtt;
use sentinel_model::{
    Agreement, Attributed, DnsView, ExitView, LatencyView, Outcome, Reason, ResolverView, Timestamp,
    UtcOffset, VoiceView,
};

/// Whether a fact is good, bad or neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Neither good nor bad.
    Plain,
    /// The value belongs to the home line, so it should not be visible.
    Danger,
    /// The value is unknown.
    Unknown,
}

/// One voice behind a fact.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Badge {
    /// The name of the voice.
    pub name: String,
    /// Whether it agrees with the others.
    pub agreement: Agreement,
}

/// One fact as a card shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The value: an address, a round trip, or why there is none.
    pub value: String,
    /// Whose value it is.
    pub owner: String,
    /// Since when.
    pub since: String,
    /// Whether it is good or bad.
    pub tone: Tone,
    /// The voices behind it.
    pub badges: Vec<Badge>,
    /// The badges in words, or the configured resolvers.
    pub tally: String,
}

/// Returns the exit of one family.
pub fn exit_fact(exit: Option<&ExitView>, now: Timestamp, offset: UtcOffset) -> Fact {
    let Some(exit) = exit else {
        return unknown("Not measured", "no witness has been asked yet");
    };
    let badges: Vec<Badge> = exit.voices.iter().map(badge).collect();
    let tally = summarize(&badges);
    let since = exit.since.format_since(now, offset);
    match &exit.address {
        Outcome::Measured(seen) => {
            let home = exit.is_home == Some(true);
            let tone = if home { Tone::Danger } else { Tone::Plain };
            Fact {
                value: seen.address.to_string(),
                owner: describe_owner(seen, home),
                since,
                tone,
                badges,
                tally,
            }
        }
        Outcome::Unknown(Reason::Unreachable) => {
            let owner = format!("No {} connection", exit.family);
            Fact {
                value: "None".into(),
                owner,
                since,
                tone: Tone::Unknown,
                badges: Vec::new(),
                tally: String::new(),
            }
        }
        Outcome::Unknown(reason) => Fact {
            value: "Unknown".into(),
            owner: capitalize(&reason.to_string()),
            since,
            tone: Tone::Unknown,
            badges,
            tally,
        },
    }
}

/// Returns the resolver that answers; one that belongs to the home line takes precedence.
pub fn dns_fact(dns: &DnsView, now: Timestamp, offset: UtcOffset) -> Fact {
    let since = dns.since.format_since(now, offset);
    let configured = match dns.configured.as_slice() {
        [] => String::new(),
        [only] => format!("Configured: {}", only.address),
        [first, rest @ ..] => format!("Configured: {} and {} more", first.address, rest.len()),
    };
    let fact = |value: &str, owner: String, tone| Fact {
        value: value.into(),
        owner,
        since: since.clone(),
        tone,
        badges: Vec::new(),
        tally: configured.clone(),
    };
    match &dns.resolvers {
        Outcome::Unknown(reason) => fact("Unknown", capitalize(&reason.to_string()), Tone::Unknown),
        Outcome::Measured(resolvers) => {
            let mut seen: Vec<&ResolverView> = Vec::new();
            for resolver in resolvers {
                if !seen.iter().any(|other| other.resolver.address == resolver.resolver.address) {
                    seen.push(resolver);
                }
            }
            let Some(first) = seen.iter().find(|resolver| resolver.is_home).or(seen.first()) else {
                return fact("None seen", "No query reached the authoritative server".into(), Tone::Unknown);
            };
            let more = seen.len() - 1;
            let mut owner = describe_owner(&first.resolver, first.is_home);
            if more > 0 {
                owner = format!("{owner}; {more} more");
            }
            let tone = if first.is_home { Tone::Danger } else { Tone::Plain };
            fact(&first.resolver.address.to_string(), owner, tone)
        }
    }
}

/// Returns the round trip to the target with the most points, and its series.
pub fn latency_fact(series: &[LatencyView]) -> (Fact, Option<&LatencyView>) {
    let mut chosen: Option<&LatencyView> = None;
    for candidate in series {
        if chosen.is_none_or(|best| candidate.points.len() > best.points.len()) {
            chosen = Some(candidate);
        }
    }
    let Some((view, last)) = chosen.and_then(|view| Some((view, view.points.last()?))) else {
        return (unknown("Not measured", "no target has answered yet"), None);
    };
    let fact = Fact {
        value: format_rtt(last.rtt),
        owner: format!("To {} over {}", view.target.name, view.family),
        since: view.baseline.map(|usual| format!("usually {}", format_rtt(usual))).unwrap_or_default(),
        tone: Tone::Plain,
        badges: Vec::new(),
        tally: String::new(),
    };
    (fact, Some(view))
}

fn badge(voice: &VoiceView) -> Badge {
    Badge { name: voice.voice.name.clone(), agreement: voice.agreement }
}

/// Summarizes the badges: `3 of 3 agree`, or how many disagree.
fn summarize(badges: &[Badge]) -> String {
    let count = |agreement| badges.iter().filter(|badge| badge.agreement == agreement).count();
    match (count(Agreement::Agrees), count(Agreement::Disagrees), badges.len()) {
        (_, _, 0) => "No witness asked".into(),
        (0, 0, _) => "All silent".into(),
        (agree, 0, all) => format!("{agree} of {all} agree"),
        (_, disagree, all) => {
            format!("{disagree} of {all} {}", if disagree == 1 { "disagrees" } else { "disagree" })
        }
    }
}

fn describe_owner(seen: &Attributed, home: bool) -> String {
    match (&seen.owner, home) {
        (Some(owner), true) => format!("{owner}: your home line"),
        (None, true) => "Your home line".into(),
        (Some(owner), false) => owner.to_string(),
        (None, false) => "Unknown owner".into(),
    }
}

fn unknown(value: &str, owner: &str) -> Fact {
    Fact {
        value: value.into(),
        owner: capitalize(owner),
        since: String::new(),
        tone: Tone::Unknown,
        badges: Vec::new(),
        tally: String::new(),
    }
}

fn capitalize(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::samples::{attributed, latency, voice_view};
    use sentinel_model::{Family, ResolverPath};

    const NOW: Timestamp = Timestamp(60_000);

    fn exit(address: Outcome<Attributed>, is_home: Option<bool>, voices: Vec<VoiceView>) -> ExitView {
        ExitView { family: Family::V4, address, is_home, since: Timestamp(0), voices }
    }

    #[test]
    fn an_exit_has_its_owner_and_the_number_of_voices_that_agree() {
        let seen = attributed("203.0.113.12", Some("Example VPN"));
        let voices = vec![
            voice_view("a", Agreement::Agrees, Some(&seen)),
            voice_view("b", Agreement::Agrees, Some(&seen)),
            voice_view("c", Agreement::Silent, None),
        ];
        let fact = exit_fact(Some(&exit(Outcome::Measured(seen), Some(false), voices)), NOW, UtcOffset(0));
        assert_eq!((fact.value.as_str(), fact.owner.as_str()), ("203.0.113.12", "Example VPN"));
        assert_eq!(fact.tally, "2 of 3 agree");
        assert_eq!(fact.tone, Tone::Plain);
    }

    #[test]
    fn the_home_line_is_marked_and_a_dissenter_is_counted() {
        let seen = attributed("198.51.100.142", Some("Example ISP"));
        let voices = vec![
            voice_view("a", Agreement::Agrees, Some(&seen)),
            voice_view("b", Agreement::Disagrees, Some(&seen)),
        ];
        let fact = exit_fact(Some(&exit(Outcome::Measured(seen), Some(true), voices)), NOW, UtcOffset(0));
        assert_eq!(fact.tone, Tone::Danger);
        assert_eq!(fact.owner, "Example ISP: your home line");
        assert_eq!(fact.tally, "1 of 2 disagrees");
    }

    #[test]
    fn an_unknown_value_is_never_a_plain_fact() {
        for reason in [Reason::TimedOut, Reason::Unreachable] {
            let fact = exit_fact(Some(&exit(Outcome::Unknown(reason), None, Vec::new())), NOW, UtcOffset(0));
            assert_eq!(fact.tone, Tone::Unknown);
        }
        let unreachable = exit(Outcome::Unknown(Reason::Unreachable), None, Vec::new());
        assert_eq!(exit_fact(Some(&unreachable), NOW, UtcOffset(0)).owner, "No IPv4 connection");
        assert_eq!(exit_fact(None, NOW, UtcOffset(0)).tone, Tone::Unknown);
        assert_eq!(latency_fact(&[]).0.tone, Tone::Unknown);
    }

    #[test]
    fn a_resolver_of_the_home_line_is_shown_before_others() {
        let resolver = |address: &str, is_home| ResolverView {
            resolver: attributed(address, None),
            path: ResolverPath::System,
            is_home,
        };
        let measured = vec![
            resolver("203.0.113.53", false),
            resolver("203.0.113.53", false),
            resolver("198.51.100.1", true),
        ];
        let dns =
            DnsView { resolvers: Outcome::Measured(measured), configured: Vec::new(), since: Timestamp(0) };
        let fact = dns_fact(&dns, NOW, UtcOffset(0));
        assert_eq!(fact.value, "198.51.100.1");
        assert_eq!(fact.owner, "Your home line; 1 more");
        assert_eq!(fact.tone, Tone::Danger);
    }

    #[test]
    fn latency_shows_the_fullest_series() {
        let series = [latency("a", &[(0, 9_000)]), latency("b", &[(0, 20_000), (1_000, 24_060)])];
        let (fact, view) = latency_fact(&series);
        assert_eq!(fact.value, "24.1 ms");
        assert_eq!(fact.owner, "To b over IPv4");
        assert_eq!(view.map(|view| view.target.name.as_str()), Some("b"));
    }
}
