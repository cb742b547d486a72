//! The one state a person sees, composed from what was found and from what was not.
//!
//! `Protected` always rests on two voices in different networks that agree; whatever falls short of
//! it says why.

use crate::{
    context::JudgeContext,
    exit::{Quorum, Tally, VoiceReport},
    part_result::{PartResult, ReportedFinding},
    wording,
};
use sentinel_model::{
    Assurance, Attributed, Connectivity, Family, FindingKind, Incident, IncidentState, Severity, Source,
    Timestamp, Verdict, VerdictView, Voice, humanize,
};
use std::collections::BTreeSet;

/// Whether an exit that is not home means protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TunnelPresence {
    /// It does: there is a tunnel, or the user stated which exit is expected.
    Expected,
    /// It does not: the kernel sends this family's packets out without a tunnel.
    Absent,
    /// The kernel has not reported any route.
    Undetermined,
}

/// What carries a family's packets, as the kernel reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// All of them go into the family's tunnel.
    Tunnel,
    /// Some or all leave elsewhere.
    Other,
    /// The kernel has not reported any route.
    Undetermined,
}

/// What the verdict depends on in one family.
pub(crate) struct FamilyInputs<'a> {
    /// The IP version.
    pub family: Family,
    /// The count of the voices.
    pub tally: &'a Tally,
    /// Whether home was reported from before the tunnel had settled.
    pub is_settling: bool,
    /// Whether the family is supposed to be protected.
    pub is_guarded: bool,
    /// Whether an exit that is not home means protection.
    pub tunnel: TunnelPresence,
    /// What carries the family's packets.
    pub carrier: Carrier,
    /// The tunnel-like interface that carries the family instead of its tunnel, where no voice has
    /// shown what it leads to.
    pub unproven_tunnel: Option<&'a str>,
    /// The tunnel-like interface by which voices see the home line, beside another uplink.
    pub tunnel_home: Option<&'a str>,
}

/// Everything the verdict depends on.
pub(crate) struct VerdictInputs<'a> {
    /// Whether judging is paused.
    pub is_paused: bool,
    /// How the machine is cut off from the network, if it is.
    pub cut_off: Option<Connectivity>,
    /// The findings and the determined questions of all parts.
    pub result: &'a PartResult,
    /// The two families.
    pub families: &'a [FamilyInputs<'a>],
    /// Half a sentence on the DNS.
    pub dns_clause: Option<&'a str>,
    /// When a voice last answered, if ever.
    pub last_answer: Option<Timestamp>,
    /// The open incidents.
    pub open: &'a [Incident],
    /// Whether any voice was ever asked.
    pub is_asked: bool,
    /// Whether there is any voice to ask.
    pub can_ask: bool,
}

/// A verdict without its history.
pub(crate) struct VerdictDraft {
    /// The verdict.
    pub verdict: Verdict,
    assurance: Option<Assurance>,
    sentence: String,
    verified_at: Option<Timestamp>,
}

impl VerdictDraft {
    /// Drafts a verdict that rests on no voices.
    fn bare(verdict: Verdict, sentence: impl Into<String>) -> Self {
        Self { verdict, assurance: None, sentence: sentence.into(), verified_at: None }
    }

    /// Drafts a verdict that rests on voices.
    fn backed(verdict: Verdict, sentence: String, reports: &[&VoiceReport]) -> Self {
        let is_witnessed = reports.iter().any(|report| matches!(report.voice.source, Source::Node(_)));
        let assurance = if is_witnessed { Assurance::Witnessed } else { Assurance::PublicOnly };
        Self {
            verdict,
            assurance: (!reports.is_empty()).then_some(assurance),
            sentence,
            verified_at: reports.iter().map(|report| report.at.wall).max(),
        }
    }

    /// Adds the history: since when the verdict holds, and when it was last confirmed.
    pub fn into_view(self, previous: &VerdictView, now: Timestamp) -> VerdictView {
        VerdictView {
            since: if self.verdict == previous.verdict { previous.since } else { now },
            verified_at: self.verified_at.or(previous.verified_at),
            verdict: self.verdict,
            assurance: self.assurance,
            sentence: self.sentence,
        }
    }
}

/// What one family amounts to where nothing is wrong with it.
enum FamilyStatus<'a> {
    /// Two or more voices agree on an exit that is as it should be.
    Confirmed(&'a Attributed),
    /// One voice sees such an exit.
    Single(&'a VoiceReport),
    /// No voice sees anything over this family.
    Unused,
    /// The voices agree, but there is nothing to compare the exit with.
    Incomparable(&'a Attributed),
    /// The voices agree on an exit that is not home, but no tunnel is known: any foreign network
    /// looks like this.
    Foreign(&'a Attributed, TunnelPresence),
    /// It cannot be determined, for a reason.
    Undetermined(String),
}

/// Composes the verdict.
pub(crate) fn compose(inputs: &VerdictInputs<'_>, context: &JudgeContext<'_>) -> VerdictDraft {
    if inputs.is_paused {
        return VerdictDraft::bare(Verdict::Off, "Judging is paused.");
    }
    match inputs.cut_off {
        Some(Connectivity::Portal) => {
            let sentence = "A captive portal answers in place of the network.";
            return VerdictDraft::bare(Verdict::Unverified, sentence);
        }
        Some(Connectivity::Online | Connectivity::Routed | Connectivity::Offline) => {
            let sentence = "There is no network, so nothing can leave.";
            return VerdictDraft::bare(Verdict::Unverified, sentence);
        }
        None => {}
    }
    compose_exposed(inputs)
        .or_else(|| compose_never_on(inputs))
        .or_else(|| compose_suspect(inputs))
        .or_else(|| compose_at_home(inputs, context))
        .or_else(|| compose_home_alone(inputs, context))
        .unwrap_or_else(|| compose_calm(inputs, context))
}

/// Composes `Exposed` from the gravest finding that proves it.
fn compose_exposed(inputs: &VerdictInputs<'_>) -> Option<VerdictDraft> {
    use FindingKind as Kind;
    const PROOF: [Kind; 7] = [
        Kind::ExitExposed,
        Kind::ExitUnexpected,
        Kind::DnsLeak,
        Kind::DnsInterception,
        Kind::RouteOutsideTunnel,
        Kind::LatencyFloor,
        Kind::ApplicationOutsideTunnel,
    ];
    // An interception, or a route by which perhaps nothing gets out, is proof only if it is
    // critical.
    compose_alarming(Verdict::Exposed, &PROOF, inputs, |ReportedFinding { finding, .. }| {
        let may_be_minor = matches!(
            finding.kind,
            Kind::DnsInterception | Kind::RouteOutsideTunnel | Kind::ApplicationOutsideTunnel
        );
        !may_be_minor || finding.severity == Severity::Critical
    })
}

/// Composes `Suspect` from the gravest finding that raises doubt.
fn compose_suspect(inputs: &VerdictInputs<'_>) -> Option<VerdictDraft> {
    use FindingKind as Kind;
    const DOUBT: [Kind; 7] = [
        Kind::ExitSuspect,
        Kind::ExitOperatorChanged,
        Kind::TunnelDown,
        Kind::RouteOutsideTunnel,
        Kind::LatencyDrop,
        Kind::DnsTampering,
        Kind::DnsInterception,
    ];
    let has_quorum = |family: Option<Family>| {
        let mut of_family = inputs.families.iter().filter(|inputs| Some(inputs.family) == family);
        of_family.any(|inputs| inputs.tally.quorum == Quorum::Reached)
    };
    compose_alarming(Verdict::Suspect, &DOUBT, inputs, |ReportedFinding { finding, .. }| match finding.kind {
        // A lone voice that the others outvote is reported, but does not change the verdict.
        Kind::ExitSuspect => !has_quorum(finding.family),
        // A move does so only where the user said that it must not happen.
        Kind::ExitOperatorChanged => finding.severity == Severity::Critical,
        Kind::DnsInterception => finding.severity == Severity::Warning,
        _ => true,
    })
}

/// Composes a verdict from the first finding, in the order of the kinds, that counts for it.
fn compose_alarming(
    verdict: Verdict,
    kinds: &[FindingKind],
    inputs: &VerdictInputs<'_>,
    counts: impl Fn(&ReportedFinding) -> bool,
) -> Option<VerdictDraft> {
    let reported = kinds.iter().find_map(|kind| {
        let mut of_kind = inputs.result.findings.iter().filter(|reported| reported.finding.kind == *kind);
        of_kind.find(|reported| counts(reported))
    })?;
    let finding = &reported.finding;
    let concerned: Vec<&VoiceReport> = inputs
        .families
        .iter()
        .filter(|inputs| finding.family.is_none_or(|family| family == inputs.family))
        .flat_map(|inputs| inputs.tally.voices.iter())
        .collect();
    Some(VerdictDraft::backed(verdict, finding.sentence.clone(), &concerned))
}

/// Composes `Off` where no tunnel was ever in use and the voices see the home line: the VPN is not
/// on.
fn compose_never_on(inputs: &VerdictInputs<'_>) -> Option<VerdictDraft> {
    if inputs.families.iter().any(|inputs| inputs.is_guarded) {
        return None;
    }
    let at_home = inputs.families.iter().find(|inputs| inputs.tally.home.len() >= 2)?;
    let home: Vec<&VoiceReport> = at_home.tally.home.iter().collect();
    let address = home.first()?.exit.address;
    let sentence = match at_home.tunnel_home {
        Some(tunnel) => format!(
            "The world sees your home line at {address}, by way of {tunnel}. If that VPN leads home on purpose, \
             state its exit under [expectation]."
        ),
        None => format!("The world sees your home line at {address}. Turn the VPN on to be protected."),
    };
    Some(VerdictDraft::backed(Verdict::Off, sentence, &home))
}

/// Composes `Off` where the exit that the user expects is the home line, and this machine is on it.
fn compose_at_home(inputs: &VerdictInputs<'_>, context: &JudgeContext<'_>) -> Option<VerdictDraft> {
    let is_home = |report: &&VoiceReport| context.policy.home.contains(&report.exit);
    let at_home = inputs.families.iter().find(|inputs| {
        inputs.carrier == Carrier::Other
            && inputs.tally.quorum == Quorum::Reached
            && inputs.tally.agreeing.first().as_ref().is_some_and(is_home)
    })?;
    let home: Vec<&VoiceReport> = at_home.tally.agreeing.iter().collect();
    let address = home.first()?.exit.address;
    let sentence = format!(
        "The world sees your home line at {address}, where you expect to be, but no tunnel leads there: you are \
         on that line."
    );
    Some(VerdictDraft::backed(Verdict::Off, sentence, &home))
}

/// Composes `Suspect` where the only voice of a family sees the home line, whether or not a tunnel
/// is expected: nobody contradicts it.
fn compose_home_alone(inputs: &VerdictInputs<'_>, context: &JudgeContext<'_>) -> Option<VerdictDraft> {
    let report = inputs.families.iter().filter(|inputs| !inputs.is_settling).find_map(|inputs| {
        let voice = inputs.tally.home.first()?;
        (inputs.tally.voices.len() == 1).then_some((inputs.family, voice))
    });
    let (family, report) = report?;
    let address = wording::name_address(&report.exit, &context.policy.home);
    let name = &report.voice.name;
    let sentence = format!("{address} seen over {family} by {name} alone. Turn the VPN on to be protected.");
    Some(VerdictDraft::backed(Verdict::Suspect, sentence, &[report]))
}

/// Composes the verdict where nothing is alarming: `Protected`, if enough voices confirm it.
fn compose_calm(inputs: &VerdictInputs<'_>, context: &JudgeContext<'_>) -> VerdictDraft {
    let statuses: Vec<(&FamilyInputs<'_>, FamilyStatus<'_>)> =
        inputs.families.iter().map(|inputs| (inputs, family_status(inputs, context))).collect();
    let confirmed: Vec<&Attributed> = statuses
        .iter()
        .filter_map(|(_, status)| match status {
            FamilyStatus::Confirmed(exit) => Some(*exit),
            _ => None,
        })
        .collect();
    if let Some(reason) =
        statuses.iter().find_map(|(inputs, status)| describe_obstacle(inputs, status, &confirmed))
    {
        return VerdictDraft::bare(Verdict::Unverified, reason);
    }
    if confirmed.is_empty() {
        let sentence = describe_unconfirmed(inputs, &statuses, context);
        return VerdictDraft::bare(Verdict::Unverified, sentence);
    }
    if let Some(incident) = inputs.open.iter().find(|incident| is_end_undetermined(incident, inputs.result)) {
        let sentence = format!("Nobody can tell whether this is over: {}", incident.sentence);
        return VerdictDraft::bare(Verdict::Unverified, sentence);
    }
    compose_protected(inputs, &confirmed)
}

/// Returns what one family amounts to.
fn family_status<'a>(inputs: &'a FamilyInputs<'_>, context: &JudgeContext<'_>) -> FamilyStatus<'a> {
    let policy = context.policy;
    let family = inputs.family;
    if inputs.is_settling {
        return FamilyStatus::Undetermined("The tunnel has only just come up.".to_owned());
    }
    if inputs.tally.quorum == Quorum::NoVoice {
        return match inputs.unproven_tunnel {
            Some(other) => FamilyStatus::Undetermined(format!(
                "{family} leaves by {other}, which is not your VPN's tunnel, and no voice sees you through it."
            )),
            None => FamilyStatus::Unused,
        };
    }
    let Some(report) = inputs.tally.agreeing.first().filter(|_| inputs.tally.quorum != Quorum::Contested)
    else {
        return FamilyStatus::Undetermined(describe_contradiction(inputs));
    };
    let exit = &report.exit;
    let has_quorum = inputs.tally.quorum == Quorum::Reached;
    match (policy.expectation.names_exit_over(family), policy.expectation.accepts_exit(exit)) {
        (true, None) => FamilyStatus::Undetermined(format!(
            "Nobody knows who operates {exit}, so it cannot be compared with what you expect."
        )),
        (true, Some(false)) => {
            FamilyStatus::Undetermined(format!("{exit} over {family} is not where you expect to be."))
        }
        (false, _) if !policy.home.known(family) => FamilyStatus::Incomparable(exit),
        (false, _) if has_quorum && inputs.tunnel != TunnelPresence::Expected => {
            FamilyStatus::Foreign(exit, inputs.tunnel)
        }
        _ if has_quorum => FamilyStatus::Confirmed(exit),
        // One voice suffices for an exit the user expects, but it confirms nothing.
        (true, Some(true)) => FamilyStatus::Unused,
        (false, _) => FamilyStatus::Single(report),
    }
}

/// Returns what one family holds against protection, if anything; `confirmed` are the exits that
/// are confirmed over either family.
fn describe_obstacle(
    inputs: &FamilyInputs<'_>,
    status: &FamilyStatus<'_>,
    confirmed: &[&Attributed],
) -> Option<String> {
    let family = inputs.family;
    let is_confirmed = |exit: &Attributed| confirmed.iter().any(|confirmed| confirmed.same_operator(exit));
    match status {
        FamilyStatus::Incomparable(exit) if !is_confirmed(exit) => {
            let voices = wording::count_voices(inputs.tally.agreeing.iter().map(|report| &report.voice));
            Some(format!(
                "{voices} see you at {exit} over {family}, and nothing is known about your home line to compare \
                 it with. Turn the VPN on, or tell me this is your home line."
            ))
        }
        // Where no exit is confirmed, there is more to say than this.
        FamilyStatus::Single(report) if !confirmed.is_empty() && !is_confirmed(&report.exit) => {
            let (name, exit) = (&report.voice.name, &report.exit);
            (inputs.carrier != Carrier::Tunnel)
                .then(|| format!("Only {name} sees you over {family}, at {exit}; one voice is not enough."))
        }
        FamilyStatus::Foreign(exit, tunnel) => Some(describe_foreign(exit, *tunnel)),
        FamilyStatus::Undetermined(reason) => Some(reason.clone()),
        FamilyStatus::Confirmed(_)
        | FamilyStatus::Single(_)
        | FamilyStatus::Incomparable(_)
        | FamilyStatus::Unused => None,
    }
}

/// Returns true if a critical incident may be over, but that is undetermined at this moment.
///
/// Such an incident holds protection back until it was measured again, long before it is shown as
/// unknown.
fn is_end_undetermined(incident: &Incident, result: &PartResult) -> bool {
    let key = incident.key();
    incident.severity == Severity::Critical
        && (incident.state == IncidentState::Unknown
            || !(result.is_determined(&key) || result.get(&key).is_some()))
}

fn compose_protected(inputs: &VerdictInputs<'_>, exits: &[&Attributed]) -> VerdictDraft {
    let with_quorum = inputs.families.iter().filter(|inputs| inputs.tally.quorum == Quorum::Reached);
    let agreeing: Vec<&VoiceReport> = with_quorum.flat_map(|inputs| inputs.tally.agreeing.iter()).collect();
    let mut voices: Vec<&Voice> = Vec::new();
    for report in &agreeing {
        if !voices.iter().any(|voice| voice.source == report.voice.source) {
            voices.push(&report.voice);
        }
    }
    let exits: Vec<String> = exits.iter().map(ToString::to_string).collect();
    let programs = list_programs_outside(inputs.result);
    let sentence = format!(
        "{} {} you at {}{}.{programs}",
        wording::count_voices(voices.iter().copied()),
        wording::see(voices.len()),
        wording::list(&exits),
        inputs.dns_clause.map(|clause| format!("; {clause}")).unwrap_or_default()
    );
    VerdictDraft::backed(Verdict::Protected, sentence, &agreeing)
}

/// Returns a sentence on the programs that bypass the tunnel, with a blank before it, if any do.
fn list_programs_outside(result: &PartResult) -> String {
    let outside =
        result.findings.iter().filter(|found| found.finding.kind == FindingKind::ApplicationOutsideTunnel);
    let names: BTreeSet<String> =
        outside.filter_map(|found| Some(found.finding.entity.as_ref()?.name().to_owned())).collect();
    let names: Vec<String> = names.into_iter().collect();
    match names.len() {
        0 => String::new(),
        1 => format!(" But {} bypasses the tunnel.", wording::list(&names)),
        _ => format!(" But {} bypass the tunnel.", wording::list(&names)),
    }
}

fn describe_foreign(exit: &Attributed, tunnel: TunnelPresence) -> String {
    let but = match tunnel {
        TunnelPresence::Undetermined => "nothing tells whether a tunnel is in use here",
        TunnelPresence::Absent | TunnelPresence::Expected => "no tunnel interface carries your traffic here",
    };
    format!(
        "You are at {exit}, which is not your home line, but {but}. Turn the VPN on; if it runs on the router or \
         by IPsec without an interface, say which exit you expect."
    )
}

fn describe_contradiction(inputs: &FamilyInputs<'_>) -> String {
    let reports = inputs.tally.voices.iter();
    let seen: Vec<String> =
        reports.map(|report| format!("{} sees {}", report.voice.name, report.exit.address)).collect();
    format!("The voices over {} do not add up: {}.", inputs.family, wording::list(&seen))
}

/// Returns why no exit is confirmed.
fn describe_unconfirmed(
    inputs: &VerdictInputs<'_>,
    statuses: &[(&FamilyInputs<'_>, FamilyStatus<'_>)],
    context: &JudgeContext<'_>,
) -> String {
    let single = statuses.iter().find_map(|(_, status)| match status {
        FamilyStatus::Single(report) => Some(report),
        _ => None,
    });
    if let Some(report) = single {
        return format!("Only {} sees you, at {}; one voice is not enough.", report.voice.name, report.exit);
    }
    match (inputs.is_asked, inputs.last_answer) {
        (true, Some(at)) => {
            let silence = humanize(context.now.wall.since(at));
            format!("No node has answered for {silence}. Protection is unknown, not confirmed.")
        }
        (true, None) => {
            "Nobody who was asked has answered yet. Protection is unknown, not confirmed.".to_owned()
        }
        (false, _) if inputs.can_ask => "Nobody has been asked yet.".to_owned(),
        (false, _) => "There is nobody to ask: add a node of your own, or allow public services.".to_owned(),
    }
}
