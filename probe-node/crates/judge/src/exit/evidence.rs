//! Who the voices are, and what came of asking each of them last.

use super::family_exit::{FamilyExit, VoiceRecord};
use sentinel_model::{Evidence, NodeId, Outcome, Source, Voice};
use std::collections::BTreeMap;

impl FamilyExit {
    /// The voice of a node, if it was ever asked.
    pub fn voice_of(&self, node: &NodeId) -> Option<&Voice> {
        let of_node = |record: &&VoiceRecord| matches!(&record.voice.source, Source::Node(id) if id == node);
        self.records.values().find(of_node).map(|record| &record.voice)
    }

    /// What came of asking each voice last: why it said nothing, or what it saw while it still did.
    pub fn last_words(&self) -> Vec<Evidence> {
        let mut latest: BTreeMap<&Source, &VoiceRecord> = BTreeMap::new();
        for record in self.records.values() {
            let entry = latest.entry(&record.voice.source).or_insert(record);
            if record.at.boot > entry.at.boot {
                *entry = record;
            }
        }
        let word = |record: &VoiceRecord| Evidence {
            voice: Some(record.voice.clone()),
            saw: match &record.last {
                Outcome::Measured(exit) => format!("{exit} over {}, and nothing since", self.family),
                Outcome::Unknown(reason) => format!("{reason} over {}", self.family),
            },
            at: record.at.wall,
        };
        latest.into_values().map(word).collect()
    }
}
