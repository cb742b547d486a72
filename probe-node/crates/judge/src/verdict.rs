//! The one state a person sees, put together from what was found and from what was not. Every way to `Protected` leads
//! through two voices of different networks that agree; everything that falls short of it says why.

use crate::{
    exit::{Heard, Standing, Tally},
    part_result::{Circumstances, Found, Ruling},
    wording,
};
use sentinel_model::{
    Assurance, Attributed, Connectivity, Family, FindingKind, Incident, IncidentState, Severity, Source,
    Timestamp, Verdict, VerdictView, Voice, humanize,
};

/// What makes an exit that is not home mean protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tunnel {
    /// There is a tunnel, or the user said what protected means.
    Expected,
    /// The kernel sends this family's packets out without one.
    Absent,
    /// The kernel has not said, or cannot.
    Unknown,
}

/// One family's part in the verdict.
pub(crate) struct Part<'a> {
    pub family: Family,
    /// The count to go by: this epoch's, or while it is still being taken the one before.
    pub tally: &'a Tally,
    /// Home was named, but before the tunnel had settled.
    pub unsettled: bool,
    pub guarded: bool,
    pub tunnel: Tunnel,
    /// The kernel sends all of this family into a tunnel.
    pub inside: bool,
}

/// Everything the verdict depends on.
pub(crate) struct Whole<'a> {
    pub paused: bool,
    /// The connectivity, if it silences everything else.
    pub cut_off: Option<Connectivity>,
    pub ruling: &'a Ruling,
    pub parts: &'a [Part<'a>],
    /// Half a sentence on the DNS.
    pub dns: Option<&'a str>,
    /// The last moment anybody answered, if ever.
    pub answered: Option<Timestamp>,
    pub open: &'a [Incident],
    /// Anybody was ever asked.
    pub asked: bool,
    /// There is somebody to ask.
    pub means: bool,
}

/// A verdict without its history.
pub(crate) struct Draft {
    pub verdict: Verdict,
    pub assurance: Option<Assurance>,
    pub sentence: String,
    pub verified_at: Option<Timestamp>,
}

impl Draft {
    fn bare(verdict: Verdict, sentence: impl Into<String>) -> Self {
        Self { verdict, assurance: None, sentence: sentence.into(), verified_at: None }
    }

    fn backed(verdict: Verdict, sentence: String, voices: &[&Heard]) -> Self {
        let own = voices.iter().any(|heard| matches!(heard.voice.source, Source::Node(_)));
        Self {
            verdict,
            assurance: (!voices.is_empty()).then_some(if own {
                Assurance::Witnessed
            } else {
                Assurance::PublicOnly
            }),
            sentence,
            verified_at: voices.iter().map(|heard| heard.at.wall).max(),
        }
    }
}

/// What one family amounts to where nothing is wrong with it.
enum Amount<'a> {
    /// Two voices or more agree on an exit that is as it should be.
    Vouched(&'a Attributed),
    /// One voice says so.
    Single(&'a Heard),
    /// Nobody sees anything over this family.
    Absent,
    /// They agree, but there is nothing to compare it with.
    Incomparable(&'a Attributed),
    /// They agree on an exit that is not home, but nothing says that it is a VPN's: any strange network looks like this.
    Strange(&'a Attributed, Tunnel),
    /// It cannot be said, because.
    Unclear(String),
}

/// The verdict at this moment.
pub(crate) fn compose(whole: &Whole<'_>, circumstances: &Circumstances<'_>) -> Draft {
    if whole.paused {
        return Draft::bare(Verdict::Off, "Judging is paused.");
    }
    match whole.cut_off {
        Some(Connectivity::Portal) => {
            return Draft::bare(Verdict::Unverified, "A captive portal answers in place of the network.");
        }
        Some(_) => return Draft::bare(Verdict::Unverified, "There is no network, so nothing can leave."),
        None => {}
    }
    if let Some(draft) = alarming(whole, Verdict::Exposed) {
        return draft;
    }
    if let Some(draft) = never_on(whole) {
        return draft;
    }
    alarming(whole, Verdict::Suspect).unwrap_or_else(|| calm(whole, circumstances))
}

/// The gravest finding that speaks for this verdict.
fn alarming(whole: &Whole<'_>, verdict: Verdict) -> Option<Draft> {
    use FindingKind as Kind;
    const PROOF: [Kind; 6] = [
        Kind::ExitExposed,
        Kind::ExitUnexpected,
        Kind::DnsLeak,
        Kind::DnsInterception,
        Kind::RouteOutsideTunnel,
        Kind::LatencyFloor,
    ];
    const DOUBT: [Kind; 6] = [
        Kind::ExitSuspect,
        Kind::ExitOperatorChanged,
        Kind::TunnelDown,
        Kind::LatencyDrop,
        Kind::DnsTampering,
        Kind::DnsInterception,
    ];
    let kinds = if verdict == Verdict::Exposed { PROOF } else { DOUBT };
    let outvoted = |family: Option<Family>| {
        whole.parts.iter().any(|part| Some(part.family) == family && part.tally.standing == Standing::Agreed)
    };
    let found = kinds.iter().find_map(|kind| {
        let mut of_kind = whole.ruling.found.iter().filter(|found| found.finding.kind == *kind);
        of_kind.find(|Found { finding, .. }| match kind {
            // A lone voice that the others outvote is reported, but does not sway the verdict.
            Kind::ExitSuspect => !outvoted(finding.family),
            // A move only does where the user said that it must not happen.
            Kind::ExitOperatorChanged => finding.severity == Severity::Critical,
            Kind::DnsInterception if verdict == Verdict::Exposed => finding.severity == Severity::Critical,
            Kind::DnsInterception => finding.severity == Severity::Warning,
            _ => true,
        })
    })?;
    let concerned: Vec<&Heard> = whole
        .parts
        .iter()
        .filter(|part| found.finding.family.is_none_or(|family| family == part.family))
        .flat_map(|part| part.tally.voices.iter())
        .collect();
    Some(Draft::backed(verdict, found.finding.sentence.clone(), &concerned))
}

/// No tunnel was ever in use and the world sees the home line: the VPN is not on, which is nobody's fault.
fn never_on(whole: &Whole<'_>) -> Option<Draft> {
    if whole.parts.iter().any(|part| part.guarded) {
        return None;
    }
    let part = whole.parts.iter().find(|part| part.tally.home.len() >= 2)?;
    let home: Vec<&Heard> = part.tally.home.iter().collect();
    let address = home.first()?.exit.address;
    let sentence = format!("The world sees your home line at {address}. Turn the VPN on to be protected.");
    Some(Draft::backed(Verdict::Off, sentence, &home))
}

/// Nothing alarming: protected, if enough voices say so.
fn calm(whole: &Whole<'_>, circumstances: &Circumstances<'_>) -> Draft {
    let amounts: Vec<(Family, Amount<'_>)> =
        whole.parts.iter().map(|part| (part.family, amount(part, circumstances))).collect();
    let vouched: Vec<&Attributed> = amounts
        .iter()
        .filter_map(|(_, amount)| match amount {
            Amount::Vouched(exit) => Some(*exit),
            _ => None,
        })
        .collect();
    if let Some(reason) = amounts.iter().find_map(|amount| obstacle(whole, amount, &vouched)) {
        return Draft::bare(Verdict::Unverified, reason);
    }
    if vouched.is_empty() {
        return Draft::bare(Verdict::Unverified, nobody(whole, &amounts, circumstances));
    }
    if let Some(incident) = whole.open.iter().find(|incident| is_lost(incident, whole.ruling)) {
        let sentence = format!("Nobody can tell whether this is over: {}", incident.sentence);
        return Draft::bare(Verdict::Unverified, sentence);
    }
    protected(whole, &vouched)
}

/// What one family holds against protection, where another is vouched for.
fn obstacle(
    whole: &Whole<'_>,
    (family, amount): &(Family, Amount<'_>),
    vouched: &[&Attributed],
) -> Option<String> {
    let known = |exit: &Attributed| vouched.iter().any(|vouched| vouched.same_operator(exit));
    match amount {
        Amount::Incomparable(exit) if !known(exit) => Some(format!(
            "{} see you at {exit} over {family}, and nothing is known of your home line to compare it with. \
             Turn the VPN on, or tell me this is your home line.",
            wording::count(voices(whole, *family))
        )),
        // With nobody vouching for anything there is more to say than this.
        Amount::Single(heard) if !vouched.is_empty() && !known(&heard.exit) => {
            let inside = whole.parts.iter().any(|part| part.family == *family && part.inside);
            let one = || {
                let (name, exit) = (&heard.voice.name, &heard.exit);
                format!("Only {name} sees you over {family}, at {exit}; one voice is not enough.")
            };
            (!inside).then(one)
        }
        Amount::Strange(exit, tunnel) => Some(strange(exit, *tunnel)),
        Amount::Unclear(reason) => Some(reason.clone()),
        Amount::Vouched(_) | Amount::Single(_) | Amount::Incomparable(_) | Amount::Absent => None,
    }
}

/// Whether nobody can tell at this moment if a grave incident is over: it holds protection back until it was measured
/// again, long before it is shown as unknown.
fn is_lost(incident: &Incident, ruling: &Ruling) -> bool {
    let key = incident.key();
    incident.severity == Severity::Critical
        && (incident.state == IncidentState::Unknown
            || !(ruling.could_tell(&key) || ruling.found.iter().any(|found| found.finding.key() == key)))
}

fn protected(whole: &Whole<'_>, exits: &[&Attributed]) -> Draft {
    let agreeing: Vec<&Heard> = whole
        .parts
        .iter()
        .filter(|part| part.tally.standing == Standing::Agreed)
        .flat_map(|part| part.tally.agreeing.iter())
        .collect();
    let mut voices: Vec<&Voice> = Vec::new();
    for heard in &agreeing {
        if !voices.iter().any(|voice| voice.source == heard.voice.source) {
            voices.push(&heard.voice);
        }
    }
    let shown: Vec<String> = exits.iter().map(ToString::to_string).collect();
    let who = wording::count(voices.iter().copied());
    let names = whole.dns.map(|clause| format!("; {clause}")).unwrap_or_default();
    let sentence = format!("{who} {} you at {}{names}.", wording::see(voices.len()), wording::list(&shown));
    Draft::backed(Verdict::Protected, sentence, &agreeing)
}

fn amount<'a>(part: &'a Part<'_>, circumstances: &Circumstances<'_>) -> Amount<'a> {
    let policy = circumstances.policy;
    let family = part.family;
    if part.unsettled {
        return Amount::Unclear("The tunnel has only just come up.".to_owned());
    }
    match part.tally.standing {
        Standing::Nobody => Amount::Absent,
        Standing::Agreed | Standing::Alone => {
            let Some(heard) = part.tally.agreeing.first() else {
                return Amount::Unclear(contradiction(part));
            };
            let exit = &heard.exit;
            let accepted = policy.expectation.accepts_exit(exit);
            match (policy.expectation.names_exit_over(family), accepted) {
                (true, None) => Amount::Unclear(format!(
                    "Nobody knows who operates {exit}, so it cannot be compared with what you expect."
                )),
                (true, Some(false)) => {
                    Amount::Unclear(format!("{exit} over {family} is not where you expect to be."))
                }
                (false, _) if !policy.home.known(family) => Amount::Incomparable(exit),
                (false, _) if part.tally.standing == Standing::Agreed && part.tunnel != Tunnel::Expected => {
                    Amount::Strange(exit, part.tunnel)
                }
                _ if part.tally.standing == Standing::Agreed => Amount::Vouched(exit),
                // It is where the user wants to be.
                (true, Some(true)) => Amount::Absent,
                _ => Amount::Single(heard),
            }
        }
        Standing::Contested => Amount::Unclear(contradiction(part)),
    }
}

fn strange(exit: &Attributed, tunnel: Tunnel) -> String {
    let but = match tunnel {
        Tunnel::Unknown => "nothing tells whether a tunnel is in use here",
        Tunnel::Absent | Tunnel::Expected => "no tunnel is in use here",
    };
    format!(
        "You are at {exit}, which is not your home line, but {but}. \
         Turn the VPN on, or say which exit you expect if it runs on the router."
    )
}

fn contradiction(part: &Part<'_>) -> String {
    let said: Vec<String> = part
        .tally
        .voices
        .iter()
        .map(|heard| format!("{} sees {}", heard.voice.name, heard.exit.address))
        .collect();
    format!("The voices over {} do not add up: {}.", part.family, wording::list(&said))
}

fn voices<'a>(whole: &'a Whole<'_>, family: Family) -> impl Iterator<Item = &'a Voice> {
    let parts = whole.parts.iter().filter(move |part| part.family == family);
    parts.flat_map(|part| part.tally.agreeing.iter().map(|heard| &heard.voice))
}

/// Why nobody can vouch for this machine.
fn nobody(whole: &Whole<'_>, amounts: &[(Family, Amount<'_>)], circumstances: &Circumstances<'_>) -> String {
    let alone = amounts.iter().find_map(|(_, amount)| match amount {
        Amount::Single(heard) => Some(heard),
        _ => None,
    });
    if let Some(heard) = alone {
        return format!("Only {} sees you, at {}; one voice is not enough.", heard.voice.name, heard.exit);
    }
    if whole.asked {
        return match whole.answered {
            Some(at) => {
                let silence = humanize(circumstances.now.wall.since(at));
                format!("No node has answered for {silence}. Protection is unknown, not confirmed.")
            }
            None => "Nobody who was asked has answered yet. Protection is unknown, not confirmed.".to_owned(),
        };
    }
    if whole.means {
        "Nobody has been asked yet.".to_owned()
    } else {
        "There is nobody to ask: add a node of your own, or allow public services.".to_owned()
    }
}

/// The verdict with its history: since when, and when it was last confirmed.
pub(crate) fn view(draft: Draft, previous: &VerdictView, now: Timestamp) -> VerdictView {
    VerdictView {
        since: if draft.verdict == previous.verdict { previous.since } else { now },
        verified_at: draft.verified_at.or(previous.verified_at),
        verdict: draft.verdict,
        assurance: draft.assurance,
        sentence: draft.sentence,
    }
}
