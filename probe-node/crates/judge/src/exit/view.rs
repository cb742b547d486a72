//! One family's exit as the snapshot shows it.

use super::{
    family_exit::{ExitTallies, FamilyExit},
    voice_record::VoiceRecord,
};
use crate::context::JudgeContext;
use sentinel_model::{Agreement, Attributed, ExitView, Millis, Outcome, Reason, Source, VoiceView};
use std::collections::BTreeMap;

/// For how long a voice that no longer answers is shown.
const SHOWN: Millis = Millis::secs(120);

impl FamilyExit {
    /// Returns the exit and what each voice saw.
    pub fn view(&mut self, tallies: &ExitTallies, context: &JudgeContext<'_>) -> ExitView {
        let tally = match &tallies.in_grace {
            Some(in_grace) if tallies.current.voices.is_empty() => in_grace,
            _ => &tallies.current,
        };
        let exit = tally.exit().cloned();
        let is_new = self.shown.as_ref().is_none_or(|(shown, _)| *shown != exit);
        if is_new {
            self.shown = Some((exit.clone(), context.now.wall));
        }
        let since = self.shown.as_ref().map_or(context.now.wall, |(_, since)| *since);
        let home = &context.policy.home;
        ExitView {
            family: self.family,
            is_home: exit.as_ref().filter(|_| home.known(self.family)).map(|exit| home.contains(exit)),
            voices: self.view_voices(exit.as_ref(), context),
            address: exit.map_or_else(|| Outcome::Unknown(self.last_failure()), Outcome::Measured),
            since,
        }
    }

    /// Returns each voice once, with its latest report.
    fn view_voices(&self, exit: Option<&Attributed>, context: &JudgeContext<'_>) -> Vec<VoiceView> {
        let mut latest: BTreeMap<&Source, &VoiceRecord> = BTreeMap::new();
        for record in self.records.values().filter(|record| context.age(record.at) <= SHOWN) {
            let entry = latest.entry(&record.voice.source).or_insert(record);
            let rank = |record: &VoiceRecord| (record.last.measured().is_some(), record.at.boot);
            if rank(record) > rank(entry) {
                *entry = record;
            }
        }
        latest.into_values().map(|record| self.view_voice(record, exit, context)).collect()
    }

    fn view_voice(
        &self,
        record: &VoiceRecord,
        exit: Option<&Attributed>,
        context: &JudgeContext<'_>,
    ) -> VoiceView {
        let silence = self.beacon_silence(context);
        let is_fresh = record.is_fresh(context, context.in_grace(), silence);
        let saw = match &record.seen {
            Some(seen) if is_fresh => Outcome::Measured(seen.exit.value.clone()),
            _ => match &record.last {
                Outcome::Unknown(reason) => Outcome::Unknown(reason.clone()),
                Outcome::Measured(_) => Outcome::Unknown(Reason::TimedOut),
            },
        };
        let home = &context.policy.home;
        let agreement = match (saw.measured(), exit) {
            (Some(seen), Some(exit))
                if seen.same_operator(exit) && home.contains(seen) == home.contains(exit) =>
            {
                Agreement::Agrees
            }
            (Some(_), _) => Agreement::Disagrees,
            (None, _) => Agreement::Silent,
        };
        VoiceView {
            voice: record.voice.clone(),
            saw,
            agreement,
            rtt: self.round_trips.get(&record.voice.source).copied(),
            at: record.at.wall,
        }
    }

    /// Returns why the exit is unknown: the reason of the voice that failed last.
    fn last_failure(&self) -> Reason {
        let failures = self.records.values().filter_map(|record| match &record.last {
            Outcome::Unknown(reason) => Some((record.at.boot, reason)),
            Outcome::Measured(_) => None,
        });
        failures.max_by_key(|(at, _)| *at).map_or_else(
            || Reason::Failed("nobody has answered yet".to_owned()),
            |(_, reason)| reason.clone(),
        )
    }
}
