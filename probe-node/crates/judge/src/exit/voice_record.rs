//! What one voice reported last, and for how long that counts.

use crate::{bounded::LastUsed, context::JudgeContext, dated::Dated, policy::Policy};
use sentinel_model::{
    Attributed, ExitPath, ExitSeen, Family, Moment, Monotonic, Outcome, Reason, RouteTaken, Voice,
};

/// What one voice reported last over one exit path.
#[derive(Clone, Debug)]
pub(super) struct VoiceRecord {
    pub voice: Voice,
    pub path: ExitPath,
    /// The last outcome, measured or not.
    pub last: Outcome<Attributed>,
    /// When it arrived.
    pub at: Moment,
    /// The last exit the voice reported, even if it failed to answer since.
    pub seen: Option<SeenExit>,
}

/// An exit as a voice reported it.
#[derive(Clone, Debug)]
pub(super) struct SeenExit {
    pub exit: Dated<Attributed>,
    /// Since when the voice has reported this address without a break.
    pub since: Moment,
    /// The route by which the voice was reached, if the kernel reported it.
    pub route: Option<RouteTaken>,
}

impl SeenExit {
    /// Returns the moment of the report.
    pub fn at(&self) -> Moment {
        self.exit.at
    }
}

impl LastUsed for VoiceRecord {
    fn last_used(&self) -> Monotonic {
        self.at.boot
    }
}

impl VoiceRecord {
    /// Returns the record after a new report with a [valid](validate_report) outcome.
    pub fn update(
        previous: Option<Self>,
        seen: &Dated<&ExitSeen>,
        outcome: Outcome<Attributed>,
        policy: &Policy,
    ) -> Self {
        let outcome = seen.with(outcome);
        let before = match previous {
            Some(recorded) if recorded.is_kept(&outcome, policy) => return recorded,
            previous => previous.and_then(|record| record.seen),
        };
        let seen_exit = match outcome.measured() {
            Some(exit) => {
                let unbroken = before.filter(|before| {
                    before.exit.value.address == exit.address && before.exit.epoch == seen.epoch
                });
                let since = unbroken.map_or(seen.at, |before| before.since);
                Some(SeenExit { exit: seen.with(exit.clone()), since, route: seen.value.route.clone() })
            }
            None => before,
        };
        Self {
            voice: seen.value.voice.clone(),
            path: seen.value.path,
            last: outcome.value,
            at: seen.at,
            seen: seen_exit,
        }
    }

    /// Returns true if the recorded outcome should be kept against a new one.
    ///
    /// It is kept if both are of one epoch and it is newer, or equally old and ranked higher: an
    /// exit above none, home above any other, then by address. Simultaneous outcomes thus have the
    /// same effect in any order, and home is never overlooked.
    fn is_kept(&self, new: &Dated<Outcome<Attributed>>, policy: &Policy) -> bool {
        let same_epoch = self.seen.as_ref().is_none_or(|seen| seen.exit.epoch == new.epoch);
        if self.at.boot != new.at.boot || !same_epoch {
            return self.at.boot > new.at.boot && same_epoch;
        }
        let rank = |outcome: &Outcome<Attributed>| {
            outcome.measured().map(|exit| (policy.home.contains(exit), exit.address))
        };
        self.last.measured().is_some() && rank(&self.last) >= rank(&new.value)
    }

    /// Returns true if the reported exit still counts.
    ///
    /// - A beacon's report counts for seconds, and so does an attested one, which describes a
    ///   beacon.
    /// - What is asked once per round counts until the next rounds, unless the same voice has
    ///   failed to answer since, or the beacons have fallen silent after it.
    ///
    /// Exits of other epochs count only where `any_epoch` is set, and for seconds.
    pub fn is_fresh(
        &self,
        context: &JudgeContext<'_>,
        any_epoch: bool,
        beacons_silent: Option<Monotonic>,
    ) -> bool {
        let Some(seen) = &self.seen else { return false };
        let of_this_epoch = seen.exit.epoch == context.epoch;
        if !of_this_epoch && !any_epoch {
            return false;
        }
        let by_round = !matches!(self.path, ExitPath::Beacon | ExitPath::Attested)
            && of_this_epoch
            && self.last.measured().is_some()
            && beacons_silent.is_none_or(|since| seen.at().boot > since);
        context.age(seen.at()) <= context.policy.thresholds.voice_ttl
            || (by_round && context.is_recent(seen.at()))
    }
}

/// Returns what a voice reported, unless the address is not of the public internet.
///
/// A voice that saw a private address, or one of the other family, did not see this machine across
/// the internet.
pub(super) fn validate_report(seen: &ExitSeen, policy: &Policy) -> Outcome<Attributed> {
    match &seen.address {
        Outcome::Measured(exit)
            if policy.is_bogon(exit.address) || Family::of(exit.address) != seen.family =>
        {
            let refusal = format!("{} is not an address of the public internet", exit.address);
            Outcome::Unknown(Reason::Malformed(refusal))
        }
        outcome => outcome.clone(),
    }
}
