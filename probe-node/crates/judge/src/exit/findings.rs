//! What follows from the voices: exposed, suspect, unexpected, moved.

use super::{
    family_exit::{Line, Reading, Settled},
    quorum::Heard,
};
use crate::{
    part_result::{Case, Circumstances, Found, Ruling, Scope, Support},
    policy::ExitChange,
    wording,
};
use sentinel_model::{Entity, Evidence, Family, FamilyPolicy, FindingKind, Millis, Moment, Severity, Weight};

/// What this machine itself knows that corroborates a single voice, per family.
#[derive(Clone, Debug, Default)]
pub(crate) struct Local {
    /// Whether the family is supposed to be protected at all.
    pub guarded: bool,
    /// The kernel has no way out over this family.
    pub closed: bool,
    /// What it knows, each a sentence: `The tunnel wg0 is gone.`
    pub sentences: Vec<String>,
    /// What the sentences rest on.
    pub evidence: Vec<Evidence>,
}

impl Local {
    /// Takes in a fact that supports a single voice.
    pub fn support(&mut self, support: Support) {
        self.sentences.push(support.sentence);
        self.evidence.extend(support.evidence);
    }
}

/// How long a voice must keep contradicting the others: a round, less its jitter, so that two answers at least stand
/// behind it.
const DISSENT: Millis = Millis::secs(10);
const RECONNECT: &str = "Reconnect the VPN or go offline.";

impl Line {
    /// Rules on one family's exit.
    pub fn rule(&mut self, reading: &Reading, local: &Local, circumstances: &Circumstances<'_>) -> Ruling {
        let mut ruling = Ruling::default();
        let home_known = circumstances.policy.home.known(self.family);
        if reading.agreed() && home_known {
            self.vouched_in = Some(circumstances.epoch);
        }
        self.tell(reading, local, home_known, circumstances, &mut ruling);
        if !local.guarded {
            return ruling;
        }
        if let Some(found) = self.exposed(reading, local, circumstances) {
            ruling.found.push(found);
        }
        if let Some(found) = self.unexpected(reading, local, circumstances) {
            ruling.found.push(found);
        }
        if let Some(found) = self.suspect(reading, &ruling, circumstances) {
            ruling.found.push(found);
        }
        if let Some(found) = self.moved(reading, circumstances) {
            ruling.found.push(found);
        }
        self.dissent(reading, circumstances, &mut ruling);
        ruling
    }

    /// Voices that keep contradicting a quorum. They are named, since one that is wrong once may be wrong when it counts;
    /// one that names home is a matter of its own.
    fn dissent(&self, reading: &Reading, circumstances: &Circumstances<'_>, ruling: &mut Ruling) {
        let Some(majority) = reading.now.agreeing.first().filter(|_| reading.agreed()) else { return };
        for heard in reading.now.voices.iter().filter(|heard| !heard.names_home) {
            let name = &heard.voice.name;
            if heard.exit.same_operator(&majority.exit) {
                ruling.told.push(Scope {
                    kind: FindingKind::VoiceDissents,
                    family: Some(self.family),
                    entity: Some(Entity::Voice(name.clone())),
                });
            } else if heard.at.boot.since(heard.since.boot) >= DISSENT {
                let others = reading.now.agreeing.len();
                let fact = format!(
                    "{name} sees {} over {} where {others} others see {}",
                    heard.exit, self.family, majority.exit
                );
                let nobody = Local::default();
                let seen = std::slice::from_ref(heard);
                let case = Case {
                    entity: Some(Entity::Voice(name.clone())),
                    weight: Weight::Statistic,
                    advice: "Nothing to do if that voice is reached another way; else do not rely on it.",
                    ..self.case(FindingKind::VoiceDissents, Severity::Information, fact, seen, &nobody)
                };
                ruling.found.push(case.found(circumstances));
            }
        }
    }

    /// What could be told: with a quorum everything that can be compared, and with no way out that nobody sees home.
    fn tell(
        &self,
        reading: &Reading,
        local: &Local,
        home_known: bool,
        circumstances: &Circumstances<'_>,
        ruling: &mut Ruling,
    ) {
        let family = Some(self.family);
        let closed = local.closed && reading.now.voices.is_empty() && !reading.unsettled;
        if closed || (reading.agreed() && home_known && reading.now.home.is_empty()) {
            ruling.tell(FindingKind::ExitExposed, family);
        }
        let none_violates =
            || reading.now.voices.iter().all(|heard| self.accepts(heard, circumstances) == Some(true));
        let met = reading.agreed() && none_violates();
        if closed || met {
            ruling.tell(FindingKind::ExitUnexpected, family);
        }
        let comparable = home_known || circumstances.policy.expectation.names_exit_over(self.family);
        if closed || (met && comparable && reading.now.home.is_empty()) {
            ruling.tell(FindingKind::ExitSuspect, family);
        }
        if reading.agreed() {
            ruling.tell(FindingKind::ExitOperatorChanged, family);
            ruling.tell(FindingKind::ExitAddressChanged, family);
        }
    }

    /// Home seen by two voices, or by one and corroborated by this machine.
    fn exposed(&self, reading: &Reading, local: &Local, circumstances: &Circumstances<'_>) -> Option<Found> {
        let home = &reading.now.home;
        let proven = home.len() >= 2 || (home.len() == 1 && !local.sentences.is_empty());
        let address = wording::address(&home.first().filter(|_| proven)?.exit, &circumstances.policy.home);
        let fact = format!("{address} seen over {} by {}", self.family, wording::names(voices(home)));
        Some(self.case(FindingKind::ExitExposed, Severity::Critical, fact, home, local).found(circumstances))
    }

    /// An exit the user's expectation rules out, with the same need for proof.
    fn unexpected(
        &self,
        reading: &Reading,
        local: &Local,
        circumstances: &Circumstances<'_>,
    ) -> Option<Found> {
        let against = self.violating(reading, circumstances);
        let proven = against.len() >= 2 || (against.len() == 1 && !local.sentences.is_empty());
        let first = against.first().filter(|_| proven)?;
        let names = wording::names(voices(&against));
        let fact = if self.is_blocked(circumstances) {
            format!("{} gets out as {} though it should be blocked, seen by {names}", self.family, first.exit)
        } else {
            format!(
                "{} seen over {} by {names}, which is not where you expect to be",
                first.exit, self.family
            )
        };
        Some(
            self.case(FindingKind::ExitUnexpected, Severity::Critical, fact, &against, local)
                .found(circumstances),
        )
    }

    /// One voice alone says home, or something the user rules out.
    fn suspect(
        &self,
        reading: &Reading,
        ruling: &Ruling,
        circumstances: &Circumstances<'_>,
    ) -> Option<Found> {
        let family = Some(self.family);
        let home = &reading.now.home;
        let against = self.violating(reading, circumstances);
        let alone = if home.len() == 1 && !ruling.has(FindingKind::ExitExposed, family) {
            home
        } else if against.len() == 1 && !ruling.has(FindingKind::ExitUnexpected, family) {
            &against
        } else {
            return None;
        };
        let address = wording::address(&alone.first()?.exit, &circumstances.policy.home);
        let fact = format!("{address} seen over {} by {} alone", self.family, wording::names(voices(alone)));
        let nobody = Local::default();
        let case = Case {
            weight: Weight::Statistic,
            advice: "No other voice confirms it yet; check your VPN if it stays.",
            ..self.case(FindingKind::ExitSuspect, Severity::Warning, fact, alone, &nobody)
        };
        Some(case.found(circumstances))
    }

    /// The exit moved. With a stated expectation that is what decides; without one, it is worth telling.
    fn moved(&mut self, reading: &Reading, circumstances: &Circumstances<'_>) -> Option<Found> {
        let policy = circumstances.policy.thresholds.exit_change;
        if policy == ExitChange::Ignore {
            self.settled = None;
            return None;
        }
        if !reading.agreed() || circumstances.policy.expectation.names_exit_over(self.family) {
            return None;
        }
        let exits: Vec<_> = reading.now.agreeing.iter().map(|heard| heard.exit.clone()).collect();
        let first = exits.first()?.clone();
        let settled = self.settled.get_or_insert_with(|| Settled { exits: exits.clone(), moved: None });
        let shared = exits.iter().any(|exit| settled.exits.iter().any(|known| known.address == exit.address));
        if shared {
            // What is new beside it is not settled yet: voices notice a move one after the other.
            settled.moved = None;
            return None;
        }
        let since = *settled.moved.get_or_insert(circumstances.now);
        let before = settled.exits.first()?.clone();
        let unknown = before.owner.is_none() || first.owner.is_none();
        let same = before.same_operator(&first) || unknown;
        let (kind, severity) = match (same, policy == ExitChange::Alarm) {
            (true, false) => (FindingKind::ExitAddressChanged, Severity::Information),
            (true, true) => (FindingKind::ExitAddressChanged, Severity::Warning),
            (false, false) => (FindingKind::ExitOperatorChanged, Severity::Warning),
            (false, true) => (FindingKind::ExitOperatorChanged, Severity::Critical),
        };
        // What must not happen does not become right by lasting: it stands until the person knows, or it is undone.
        let stays = severity == Severity::Critical;
        if !stays && circumstances.age(since) >= circumstances.policy.thresholds.change_shown {
            *settled = Settled { exits, moved: None };
            return None;
        }
        let fact = format!("The exit over {} moved from {before} to {first}", self.family);
        let nobody = Local::default();
        let case = Case {
            since,
            advice: if stays {
                "Acknowledge it if you or your VPN changed the server."
            } else {
                "Nothing to do if you or your VPN changed the server."
            },
            ..self.case(kind, severity, fact, &reading.now.agreeing, &nobody)
        };
        Some(case.found(circumstances))
    }

    /// The voices whose sight the expectation rules out. Home is a matter of its own.
    fn violating(&self, reading: &Reading, circumstances: &Circumstances<'_>) -> Vec<Heard> {
        let voices = reading.now.voices.iter().filter(|heard| !heard.names_home);
        voices.filter(|heard| self.accepts(heard, circumstances) == Some(false)).cloned().collect()
    }

    /// Whether a voice's sight is what the user expects. Where nothing is expected of this family, anything is.
    fn accepts(&self, heard: &Heard, circumstances: &Circumstances<'_>) -> Option<bool> {
        if self.is_blocked(circumstances) {
            return Some(false);
        }
        let expectation = &circumstances.policy.expectation;
        if !expectation.names_exit_over(self.family) {
            return Some(true);
        }
        expectation.accepts_exit(&heard.exit)
    }

    pub(crate) fn is_blocked(&self, circumstances: &Circumstances<'_>) -> bool {
        self.family == Family::V6 && circumstances.policy.expectation.ipv6 == FamilyPolicy::Blocked
    }

    fn case<'a>(
        &self,
        kind: FindingKind,
        severity: Severity,
        fact: String,
        seen: &[Heard],
        local: &'a Local,
    ) -> Case<'a> {
        Case {
            kind,
            family: Some(self.family),
            entity: None,
            severity,
            weight: Weight::Proof,
            fact,
            context: &local.sentences,
            advice: RECONNECT,
            evidence: seen.iter().map(evidence).chain(local.evidence.iter().cloned()).collect(),
            since: earliest(seen),
        }
    }
}

fn voices(heard: &[Heard]) -> impl Iterator<Item = &sentinel_model::Voice> {
    heard.iter().map(|heard| &heard.voice)
}

fn evidence(heard: &Heard) -> Evidence {
    Evidence { voice: Some(heard.voice.clone()), saw: heard.exit.to_string(), at: heard.at.wall }
}

fn earliest(heard: &[Heard]) -> Moment {
    heard.iter().map(|heard| heard.since).min_by_key(|since| (since.boot, since.wall)).unwrap_or_default()
}
