//! A finding whose rule has not fired yet.

use super::presence::{Presence, PresenceRun};
use sentinel_model::{Millis, Moment, Trigger};

/// What one assessment makes of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CandidateStep {
    /// The trigger may still be met.
    Waiting,
    /// The trigger is met.
    Triggered,
    /// The finding is gone before the trigger was met.
    Dropped,
}

/// A finding whose rule has not fired yet.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    samples: Samples,
    /// How long the finding has been present without a break; inhibited time does not count.
    present_for: Option<Millis>,
    run: PresenceRun,
}

/// The last samples, the latest in the lowest bit; a set bit is one that had the finding.
#[derive(Clone, Copy, Debug)]
struct Samples(u32);

impl Samples {
    fn push(&mut self, is_present: bool) {
        self.0 = (self.0 << 1) | u32::from(is_present);
    }

    /// Returns how many of the last samples had the finding.
    fn count(self, last: u8) -> u32 {
        let last = u32::from(last).min(u32::BITS);
        (self.0 & u32::MAX.checked_shr(u32::BITS - last).unwrap_or(0)).count_ones()
    }
}

impl Candidate {
    /// Creates a candidate from a finding's first sample.
    pub fn new(now: Moment) -> Self {
        let run = PresenceRun::start(Presence::Present, now);
        Self { samples: Samples(1), present_for: Some(Millis(0)), run }
    }

    /// Takes one assessment into account.
    ///
    /// `is_sample` says whether it counts as a new sample; `patience` is how long the finding may
    /// be undetermined.
    pub fn step(
        &mut self,
        presence: Presence,
        is_sample: bool,
        trigger: Trigger,
        patience: Millis,
        now: Moment,
    ) -> CandidateStep {
        if is_sample && matches!(presence, Presence::Present | Presence::Absent) {
            self.samples.push(presence == Presence::Present);
        }
        self.update_duration(presence, patience, now);
        match presence {
            Presence::Present if self.is_triggered(trigger) => CandidateStep::Triggered,
            Presence::Present | Presence::Inhibited => CandidateStep::Waiting,
            Presence::Absent if self.may_return(trigger) => CandidateStep::Waiting,
            Presence::Undetermined if self.run.lasted() < patience => CandidateStep::Waiting,
            Presence::Absent | Presence::Undetermined => CandidateStep::Dropped,
        }
    }

    /// Updates how long the finding has been present.
    ///
    /// The time since the last assessment counts unless the finding was inhibited or absent then. A
    /// finding that is briefly undetermined is not interrupted.
    fn update_duration(&mut self, presence: Presence, patience: Millis, now: Moment) {
        let elapsed = match self.run.presence {
            Presence::Present | Presence::Undetermined => now.boot.since(self.run.last.boot),
            Presence::Inhibited | Presence::Absent => Millis(0),
        };
        self.run = self.run.next(presence, now);
        let so_far = self.present_for.map(|present| Millis(present.0.saturating_add(elapsed.0)));
        self.present_for = match presence {
            Presence::Present | Presence::Inhibited => so_far.or(Some(Millis(0))),
            Presence::Undetermined if self.run.lasted() < patience => so_far,
            Presence::Undetermined | Presence::Absent => None,
        };
    }

    fn is_triggered(&self, trigger: Trigger) -> bool {
        match trigger {
            Trigger::AtOnce => true,
            Trigger::Samples { hits, of } => self.samples.count(of.max(hits)) >= u32::from(hits),
            Trigger::For(span) => self.present_for.is_some_and(|present| present >= span),
        }
    }

    /// Returns true if an absent finding may still meet the trigger: samples are counted over a
    /// window with gaps in it.
    fn may_return(&self, trigger: Trigger) -> bool {
        match trigger {
            Trigger::Samples { hits, of } => self.samples.count(of.max(hits)) != 0,
            Trigger::AtOnce | Trigger::For(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_counted_over_the_last_ones_only() {
        let mut samples = Samples(0);
        for is_present in [true, false, true, true] {
            samples.push(is_present);
        }
        assert_eq!([0, 1, 2, 3, 4, 200].map(|last| samples.count(last)), [0, 1, 2, 2, 3, 3]);
    }
}
