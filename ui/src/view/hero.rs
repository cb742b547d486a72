//! The verdict as one shape, one word and one sentence, and the small line beneath.

use super::{
    contact::Standing,
    text::{ago, from_now},
};
use sentinel_model::{Schedule, Timestamp, UtcOffset, Verdict, VerdictView};

/// The shape and colour the verdict is shown by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// A closed shield with a tick.
    Protected,
    /// A broken shield with an exclamation mark.
    Exposed,
    /// A full shield with a question mark.
    Suspect,
    /// A hatched shield with a question mark.
    Unverified,
    /// An outlined shield.
    Off,
    /// As unverified, in grey: this page has lost its node.
    Lost,
}

impl Face {
    /// The face of a verdict.
    pub fn of(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Protected => Self::Protected,
            Verdict::Exposed => Self::Exposed,
            Verdict::Suspect => Self::Suspect,
            Verdict::Unverified => Self::Unverified,
            Verdict::Off => Self::Off,
        }
    }

    /// The word beside the shape.
    pub fn word(self) -> &'static str {
        match self {
            Self::Protected => "Protected",
            Self::Exposed => "Exposed",
            Self::Suspect => "Suspect",
            Self::Unverified | Self::Lost => "Unverified",
            Self::Off => "Off",
        }
    }

    /// The name the style sheet knows it by.
    pub fn class(self) -> &'static str {
        match self {
            Self::Protected => "protected",
            Self::Exposed => "exposed",
            Self::Suspect => "suspect",
            Self::Unverified => "unverified",
            Self::Off => "off",
            Self::Lost => "lost",
        }
    }
}

/// What the top of the overview says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hero {
    /// Shape and word.
    pub face: Face,
    /// The facts in one sentence.
    pub sentence: String,
}

/// The verdict as it may be shown: never a stale one as if it were current.
pub fn hero(verdict: &VerdictView, standing: Standing, heard: Timestamp, offset: UtcOffset) -> Hero {
    if standing == Standing::Stale {
        let sentence = format!(
            "Nothing heard from the node since {}. It said {} then; whether that still holds is unknown.",
            heard.time_of_day(offset),
            verdict.verdict
        );
        return Hero { face: Face::Lost, sentence };
    }
    Hero { face: Face::of(verdict.verdict), sentence: verdict.sentence.clone() }
}

/// The small line: when it was verified and when it will be again.
pub fn schedule_line(
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
        Some(at) => format!("Verified {}.", ago(now, at)),
        None => "Not verified yet.".into(),
    };
    match schedule.next_round.map(|next| from_now(now, next)) {
        Some(Some(left)) => format!("{verified} Next full check {left}."),
        Some(None) => format!("{verified} A full check is running."),
        None => verified,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::{Millis, Pause};

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
    fn a_lost_node_is_never_shown_as_protected() {
        for verdict in [Verdict::Protected, Verdict::Exposed, Verdict::Off] {
            let stale = hero(&view(verdict), Standing::Stale, Timestamp(50_000), UtcOffset(0));
            assert_eq!(stale.face, Face::Lost);
            assert_eq!(stale.face.word(), "Unverified");
            assert!(stale.sentence.contains("since 00:00:50"), "{}", stale.sentence);
        }
        let lost = hero(&view(Verdict::Protected), Standing::Lost, Timestamp(50_000), UtcOffset(0));
        assert_eq!(lost.face, Face::Protected);
    }

    #[test]
    fn the_small_line_counts_up_and_down() {
        let verdict = view(Verdict::Protected);
        let line = |now, next| schedule_line(&verdict, &schedule(next), Timestamp(now), UtcOffset(0));
        assert_eq!(line(52_000, 70_000), "Verified 2 s ago. Next full check in 18 s.");
        assert_eq!(line(53_000, 70_000), "Verified 3 s ago. Next full check in 17 s.");
        assert_eq!(line(53_000, 52_000), "Verified 3 s ago. A full check is running.");
    }

    #[test]
    fn a_pause_is_named_with_its_end() {
        let verdict = view(Verdict::Off);
        let paused = |until| Schedule { paused: Some(Pause { until }), ..schedule(70_000) };
        let line = |until| schedule_line(&verdict, &paused(until), Timestamp(52_000), UtcOffset(0));
        assert_eq!(line(Some(Timestamp(3_600_000))), "Paused until 01:00:00.");
        assert_eq!(line(None), "Paused until you resume.");
    }

    #[test]
    fn what_was_never_verified_does_not_claim_an_age() {
        let verdict = VerdictView { verified_at: None, ..view(Verdict::Unverified) };
        assert_eq!(
            schedule_line(&verdict, &Schedule::default(), Timestamp(1), UtcOffset(0)),
            "Not verified yet."
        );
    }
}
