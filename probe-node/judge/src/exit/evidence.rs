//! Who the voices are.

use super::{Line, Record};
use sentinel_model::{NodeId, Source, Voice};

impl Line {
    /// The voice of a node, if it was ever asked.
    pub fn voice_of(&self, node: &NodeId) -> Option<&Voice> {
        let of_node = |record: &&Record| matches!(&record.voice.source, Source::Node(id) if id == node);
        self.records.values().find(of_node).map(|record| &record.voice)
    }
}
