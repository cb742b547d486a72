//! The one state a person sees, put together from what was found and from what was not. Every way to `Protected` leads
//! through two voices of different networks that agree; everything that falls short of it says why.

use crate::{
    exit::{Quorum, Tally, VoiceReport},
    part_result::{JudgeContext, PartResult, ReportedFinding},
    wording,
};
use sentinel_model::{
    Assurance, Attributed, Connectivity, Family, FindingKind, Incident, IncidentState, Severity, Source,
    Timestamp, Verdict, VerdictView, Voice, humanize,
};

/// What makes an exit that is not home mean protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TunnelPresence {
    /// There is a tunnel, or the user said what protected means.
    Expected,
    /// The kernel sends this family's packets out without one.
    Absent,
    /// The kernel has not said, or cannot.
    Unknown,
}

/// One family's part in the verdict.
pub(crate) struct FamilyInputs<'a> {
    pub family: Family,
    /// The count to go by: this epoch's, or while it is still being taken the one before.
    pub tally: &'a Tally,
    /// Home was named, but before the tunnel had settled.
    pub unsettled: bool,
    pub guarded: bool,
    pub tunnel: TunnelPresence,
    /// The kernel sends all of this family into a tunnel.
    pub inside: bool,
}

/// Everything the verdict depends on.
pub(crate) struct VerdictInputs<'a> {
    pub paused: bool,
    /// The connectivity, if it silences everything else.
    pub cut_off: Option<Connectivity>,
    pub result: &'a PartResult,
    pub parts: &'a [FamilyInputs<'a>],
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
pub(crate) struct VerdictDraft {
    pub verdict: Verdict,
    pub assurance: Option<Assurance>,
    pub sentence: String,
    pub verified_at: Option<Timestamp>,
}

impl VerdictDraft {
    fn bare(verdict: Verdict, sentence: impl Into<String>) -> Self {
        Self { verdict, assurance: None, sentence: sentence.into(), verified_at: None }
    }

    fn backed(verdict: Verdict, sentence: String, voices: &[&VoiceReport]) -> Self {
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
enum FamilyStatus<'a> {
    /// Two voices or more agree on an exit that is as it should be.
    Vouched(&'a Attributed),
    /// One voice says so.
    Single(&'a VoiceReport),
    /// Nobody sees anything over this family.
    Absent,
    /// They agree, but there is nothing to compare it with.
    Incomparable(&'a Attributed),
    /// They agree on an exit that is not home, but nothing says that it is a VPN's: any strange network looks like this.
    Strange(&'a Attributed, TunnelPresence),
    /// It cannot be said, because.
    Unclear(String),
}

/// The verdict at this moment.
pub(crate) fn compose(inputs: &VerdictInputs<'_>, context: &JudgeContext<'_>) -> VerdictDraft {
    if inputs.paused {
        return VerdictDraft::bare(Verdict::Off, "Judging is paused.");
    }
    match inputs.cut_off {
        Some(Connectivity::Portal) => {
            return VerdictDraft::bare(
                Verdict::Unverified,
                "A captive portal answers in place of the network.",
            );
        }
        Some(_) => {
            return VerdictDraft::bare(Verdict::Unverified, "There is no network, so nothing can leave.");
        }
        None => {}
    }
    if let Some(draft) = alarming(inputs, Verdict::Exposed) {
        return draft;
    }
    if let Some(draft) = never_on(inputs) {
        return draft;
    }
    alarming(inputs, Verdict::Suspect).unwrap_or_else(|| calm(inputs, context))
}

/// The gravest finding that speaks for this verdict.
fn alarming(inputs: &VerdictInputs<'_>, verdict: Verdict) -> Option<VerdictDraft> {
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
        inputs.parts.iter().any(|part| Some(part.family) == family && part.tally.quorum == Quorum::Reached)
    };
    let found = kinds.iter().find_map(|kind| {
        let mut of_kind = inputs.result.findings.iter().filter(|found| found.finding.kind == *kind);
        of_kind.find(|ReportedFinding { finding, .. }| match kind {
            // A lone voice that the others outvote is reported, but does not sway the verdict.
            Kind::ExitSuspect => !outvoted(finding.family),
            // A move only does where the user said that it must not happen.
            Kind::ExitOperatorChanged => finding.severity == Severity::Critical,
            Kind::DnsInterception if verdict == Verdict::Exposed => finding.severity == Severity::Critical,
            Kind::DnsInterception => finding.severity == Severity::Warning,
            _ => true,
        })
    })?;
    let concerned: Vec<&VoiceReport> = inputs
        .parts
        .iter()
        .filter(|part| found.finding.family.is_none_or(|family| family == part.family))
        .flat_map(|part| part.tally.voices.iter())
        .collect();
    Some(VerdictDraft::backed(verdict, found.finding.sentence.clone(), &concerned))
}

/// No tunnel was ever in use and the world sees the home line: the VPN is not on, which is nobody's fault.
fn never_on(inputs: &VerdictInputs<'_>) -> Option<VerdictDraft> {
    if inputs.parts.iter().any(|part| part.guarded) {
        return None;
    }
    let part = inputs.parts.iter().find(|part| part.tally.home.len() >= 2)?;
    let home: Vec<&VoiceReport> = part.tally.home.iter().collect();
    let address = home.first()?.exit.address;
    let sentence = format!("The world sees your home line at {address}. Turn the VPN on to be protected.");
    Some(VerdictDraft::backed(Verdict::Off, sentence, &home))
}

/// Nothing alarming: protected, if enough voices say so.
fn calm(inputs: &VerdictInputs<'_>, context: &JudgeContext<'_>) -> VerdictDraft {
    let amounts: Vec<(Family, FamilyStatus<'_>)> =
        inputs.parts.iter().map(|part| (part.family, amount(part, context))).collect();
    let vouched: Vec<&Attributed> = amounts
        .iter()
        .filter_map(|(_, amount)| match amount {
            FamilyStatus::Vouched(exit) => Some(*exit),
            _ => None,
        })
        .collect();
    if let Some(reason) = amounts.iter().find_map(|amount| obstacle(inputs, amount, &vouched)) {
        return VerdictDraft::bare(Verdict::Unverified, reason);
    }
    if vouched.is_empty() {
        return VerdictDraft::bare(Verdict::Unverified, nobody(inputs, &amounts, context));
    }
    if let Some(incident) = inputs.open.iter().find(|incident| is_lost(incident, inputs.result)) {
        let sentence = format!("Nobody can tell whether this is over: {}", incident.sentence);
        return VerdictDraft::bare(Verdict::Unverified, sentence);
    }
    protected(inputs, &vouched)
}

/// What one family holds against protection, where another is vouched for.
fn obstacle(
    inputs: &VerdictInputs<'_>,
    (family, amount): &(Family, FamilyStatus<'_>),
    vouched: &[&Attributed],
) -> Option<String> {
    let known = |exit: &Attributed| vouched.iter().any(|vouched| vouched.same_operator(exit));
    match amount {
        FamilyStatus::Incomparable(exit) if !known(exit) => Some(format!(
            "{} see you at {exit} over {family}, and nothing is known of your home line to compare it with. \
             Turn the VPN on, or tell me this is your home line.",
            wording::count(voices(inputs, *family))
        )),
        // With nobody vouching for anything there is more to say than this.
        FamilyStatus::Single(heard) if !vouched.is_empty() && !known(&heard.exit) => {
            let inside = inputs.parts.iter().any(|part| part.family == *family && part.inside);
            let one = || {
                let (name, exit) = (&heard.voice.name, &heard.exit);
                format!("Only {name} sees you over {family}, at {exit}; one voice is not enough.")
            };
            (!inside).then(one)
        }
        FamilyStatus::Strange(exit, tunnel) => Some(strange(exit, *tunnel)),
        FamilyStatus::Unclear(reason) => Some(reason.clone()),
        FamilyStatus::Vouched(_)
        | FamilyStatus::Single(_)
        | FamilyStatus::Incomparable(_)
        | FamilyStatus::Absent => None,
    }
}

/// Whether nobody can tell at this moment if a grave incident is over: it holds protection back until it was measured
/// again, long before it is shown as unknown.
fn is_lost(incident: &Incident, result: &PartResult) -> bool {
    let key = incident.key();
    incident.severity == Severity::Critical
        && (incident.state == IncidentState::Unknown
            || !(result.is_determined(&key)
                || result.findings.iter().any(|found| found.finding.key() == key)))
}

fn protected(inputs: &VerdictInputs<'_>, exits: &[&Attributed]) -> VerdictDraft {
    let agreeing: Vec<&VoiceReport> = inputs
        .parts
        .iter()
        .filter(|part| part.tally.quorum == Quorum::Reached)
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
    let names = inputs.dns.map(|clause| format!("; {clause}")).unwrap_or_default();
    let sentence = format!("{who} {} you at {}{names}.", wording::see(voices.len()), wording::list(&shown));
    VerdictDraft::backed(Verdict::Protected, sentence, &agreeing)
}

fn amount<'a>(part: &'a FamilyInputs<'_>, context: &JudgeContext<'_>) -> FamilyStatus<'a> {
    let policy = context.policy;
    let family = part.family;
    if part.unsettled {
        return FamilyStatus::Unclear("The tunnel has only just come up.".to_owned());
    }
    match part.tally.quorum {
        Quorum::NoVoice => FamilyStatus::Absent,
        Quorum::Reached | Quorum::OneVoice => {
            let Some(heard) = part.tally.agreeing.first() else {
                return FamilyStatus::Unclear(contradiction(part));
            };
            let exit = &heard.exit;
            let accepted = policy.expectation.accepts_exit(exit);
            match (policy.expectation.names_exit_over(family), accepted) {
                (true, None) => FamilyStatus::Unclear(format!(
                    "Nobody knows who operates {exit}, so it cannot be compared with what you expect."
                )),
                (true, Some(false)) => {
                    FamilyStatus::Unclear(format!("{exit} over {family} is not where you expect to be."))
                }
                (false, _) if !policy.home.known(family) => FamilyStatus::Incomparable(exit),
                (false, _)
                    if part.tally.quorum == Quorum::Reached && part.tunnel != TunnelPresence::Expected =>
                {
                    FamilyStatus::Strange(exit, part.tunnel)
                }
                _ if part.tally.quorum == Quorum::Reached => FamilyStatus::Vouched(exit),
                // It is where the user wants to be.
                (true, Some(true)) => FamilyStatus::Absent,
                _ => FamilyStatus::Single(heard),
            }
        }
        Quorum::Contested => FamilyStatus::Unclear(contradiction(part)),
    }
}

fn strange(exit: &Attributed, tunnel: TunnelPresence) -> String {
    let but = match tunnel {
        TunnelPresence::Unknown => "nothing tells whether a tunnel is in use here",
        TunnelPresence::Absent | TunnelPresence::Expected => "no tunnel is in use here",
    };
    format!(
        "You are at {exit}, which is not your home line, but {but}. \
         Turn the VPN on, or say which exit you expect if it runs on the router."
    )
}

fn contradiction(part: &FamilyInputs<'_>) -> String {
    let said: Vec<String> = part
        .tally
        .voices
        .iter()
        .map(|heard| format!("{} sees {}", heard.voice.name, heard.exit.address))
        .collect();
    format!("The voices over {} do not add up: {}.", part.family, wording::list(&said))
}

fn voices<'a>(inputs: &'a VerdictInputs<'_>, family: Family) -> impl Iterator<Item = &'a Voice> {
    let parts = inputs.parts.iter().filter(move |part| part.family == family);
    parts.flat_map(|part| part.tally.agreeing.iter().map(|heard| &heard.voice))
}

/// Why nobody can vouch for this machine.
fn nobody(
    inputs: &VerdictInputs<'_>,
    amounts: &[(Family, FamilyStatus<'_>)],
    context: &JudgeContext<'_>,
) -> String {
    let alone = amounts.iter().find_map(|(_, amount)| match amount {
        FamilyStatus::Single(heard) => Some(heard),
        _ => None,
    });
    if let Some(heard) = alone {
        return format!("Only {} sees you, at {}; one voice is not enough.", heard.voice.name, heard.exit);
    }
    if inputs.asked {
        return match inputs.answered {
            Some(at) => {
                let silence = humanize(context.now.wall.since(at));
                format!("No node has answered for {silence}. Protection is unknown, not confirmed.")
            }
            None => "Nobody who was asked has answered yet. Protection is unknown, not confirmed.".to_owned(),
        };
    }
    if inputs.means {
        "Nobody has been asked yet.".to_owned()
    } else {
        "There is nobody to ask: add a node of your own, or allow public services.".to_owned()
    }
}

/// The verdict with its history: since when, and when it was last confirmed.
pub(crate) fn view(draft: VerdictDraft, previous: &VerdictView, now: Timestamp) -> VerdictView {
    VerdictView {
        since: if draft.verdict == previous.verdict { previous.since } else { now },
        verified_at: draft.verified_at.or(previous.verified_at),
        verdict: draft.verdict,
        assurance: draft.assurance,
        sentence: draft.sentence,
    }
}
