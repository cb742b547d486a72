//! The verdict as a shape and a sentence, and the small line beneath.

use super::{
    connection::ConnectionState,
    shape::VerdictShape,
    text::{format_age, format_countdown},
};
use sentinel_model::{Schedule, Timestamp, UtcOffset, VerdictView};

/// What the top of the overview shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hero {
    /// The shape, with its word.
    pub shape: VerdictShape,
    /// The facts in one sentence.
    pub sentence: String,
}

impl Hero {
    /// Describes a verdict. A stale one is never shown as if it were current.
    pub fn new(
        verdict: &VerdictView,
        connection: ConnectionState,
        last_heard: Timestamp,
        offset: UtcOffset,
    ) -> Self {
        if connection == ConnectionState::Stale {
            let sentence = format!(
                "Nothing heard from the node since {}. It reported {} then; the current state is unknown.",
                last_heard.time_of_day(offset),
                verdict.verdict
            );
            return Self { shape: VerdictShape::Disconnected, sentence };
        }
        Self { shape: verdict.verdict.into(), sentence: verdict.sentence.clone() }
    }
}

/// Describes when the verdict was verified, and when the next full check is due.
pub fn describe_schedule(
    verdict: &VerdictView,
    schedule: &Schedule,
    now: Timestamp,
    offset: UtcOffset,
) -> String {
    if let Some(pause) = schedule.paused {
        return match pause.until {
            Some(until) => format!("Paused until {}.", until.format_local(now, offset)),
            None => "Paused until you resume.".into(),
        };
    }
    let verified = match verdict.verified_at {
        Some(at) => format!("Verified {}.", format_age(now, at)),
        None => "Not verified yet.".into(),
    };
    match schedule.next_round.map(|next| format_countdown(now, next)) {
        Some(Some(left)) => format!("{verified} Next full check {left}."),
        Some(None) => format!("{verified} A full check is running."),
        None => verified,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::{Millis, Pause, Verdict};

    fn view(verdict: Verdict) -> VerdictView {
        VerdictView {
            verdict,
            assurance: None,
            sentence: "2 of your nodes see you at 203.0.113.12.".into(),
            since: Timestamp(0),
            verified_at: Some(Timestamp(50_000)),
        }
    }

    fn schedule(next: i64) -> Schedule {
        Schedule { next_round: Some(Timestamp(next)), round_every: Millis::secs(30), ..Schedule::default() }
    }

    #[test]
    fn a_stale_verdict_is_never_shown_as_protected() {
        for verdict in [Verdict::Protected, Verdict::Exposed, Verdict::Off] {
            let stale = Hero::new(&view(verdict), ConnectionState::Stale, Timestamp(50_000), UtcOffset(0));
            assert_eq!(stale.shape, VerdictShape::Disconnected);
            assert_eq!(stale.shape.word(), "Unverified");
            assert!(stale.sentence.contains("since 00:00:50"), "{}", stale.sentence);
        }
        let interrupted = Hero::new(
            &view(Verdict::Protected),
            ConnectionState::Interrupted,
            Timestamp(50_000),
            UtcOffset(0),
        );
        assert_eq!(interrupted.shape, VerdictShape::Protected);
    }

    #[test]
    fn the_schedule_counts_up_and_down() {
        let verdict = view(Verdict::Protected);
        let line = |now, next| describe_schedule(&verdict, &schedule(next), Timestamp(now), UtcOffset(0));
        assert_eq!(line(52_000, 70_000), "Verified 2 s ago. Next full check in 18 s.");
        assert_eq!(line(53_000, 70_000), "Verified 3 s ago. Next full check in 17 s.");
        assert_eq!(line(53_000, 52_000), "Verified 3 s ago. A full check is running.");
    }

    #[test]
    fn a_pause_is_named_with_its_end() {
        let verdict = view(Verdict::Off);
        let paused = |until| Schedule { paused: Some(Pause { until }), ..schedule(70_000) };
        let line = |until| describe_schedule(&verdict, &paused(until), Timestamp(52_000), UtcOffset(0));
        assert_eq!(line(Some(Timestamp(3_600_000))), "Paused until 01:00:00.");
        assert_eq!(line(None), "Paused until you resume.");
    }

    #[test]
    fn a_verdict_that_was_never_verified_has_no_age() {
        let verdict = VerdictView { verified_at: None, ..view(Verdict::Unverified) };
        assert_eq!(
            describe_schedule(&verdict, &Schedule::default(), Timestamp(1), UtcOffset(0)),
            "Not verified yet."
        );
    }
}
