//! One family's exit as the snapshot shows it.

use super::family_exit::{ExitTallies, FamilyExit, SHOWN, VoiceRecord};
use crate::part_result::JudgeContext;
use sentinel_model::{Agreement, Attributed, ExitView, Outcome, Reason, Source, VoiceView};
use std::collections::BTreeMap;

impl FamilyExit {
    /// The exit and who saw what.
    pub fn view(&mut self, reading: &ExitTallies, context: &JudgeContext<'_>) -> ExitView {
        let tally = match &reading.held {
            Some(held) if reading.now.voices.is_empty() => held,
            _ => &reading.now,
        };
        let exit = tally.exit().cloned();
        let changed = self.shown.as_ref().is_none_or(|(shown, _)| *shown != exit);
        if changed {
            self.shown = Some((exit.clone(), context.now.wall));
        }
        let since = self.shown.as_ref().map_or(context.now.wall, |(_, since)| *since);
        let home = &context.policy.home;
        ExitView {
            family: self.family,
            is_home: exit.as_ref().filter(|_| home.known(self.family)).map(|exit| home.contains(exit)),
            voices: self.voices(exit.as_ref(), context),
            address: exit.map_or_else(|| Outcome::Unknown(self.why_unknown()), Outcome::Measured),
            since,
        }
    }

    /// Each voice once, with the latest it said.
    fn voices(&self, exit: Option<&Attributed>, context: &JudgeContext<'_>) -> Vec<VoiceView> {
        let mut latest: BTreeMap<&Source, &VoiceRecord> = BTreeMap::new();
        for record in self.records.values().filter(|record| context.age(record.at).0 <= SHOWN) {
            let entry = latest.entry(&record.voice.source).or_insert(record);
            let better = |record: &VoiceRecord| (record.last.measured().is_some(), record.at.boot);
            if better(record) > better(entry) {
                *entry = record;
            }
        }
        latest.into_values().map(|record| self.voice(record, exit, context)).collect()
    }

    fn voice(
        &self,
        record: &VoiceRecord,
        exit: Option<&Attributed>,
        context: &JudgeContext<'_>,
    ) -> VoiceView {
        let silence = self.beacon_silence(context);
        let fresh = record.is_fresh(context, context.in_grace(), silence);
        let saw = match &record.seen {
            Some(sighting) if fresh => Outcome::Measured(sighting.exit.clone()),
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

    fn why_unknown(&self) -> Reason {
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
