//! The snapshot: the judge's assessment with what the engine knows beside it.

use sentinel_judge::Assessment;
use sentinel_model::{Epoch, NodeId, SCHEMA, Schedule, Snapshot, SwarmView, Timestamp, UtcOffset};

/// What surrounds an assessment.
pub(crate) struct Surroundings<'a> {
    pub(crate) sequence: u64,
    pub(crate) at: Timestamp,
    pub(crate) offset: UtcOffset,
    pub(crate) epoch: Epoch,
    pub(crate) node: &'a NodeId,
    pub(crate) name: &'a str,
    pub(crate) swarm: SwarmView,
    pub(crate) schedule: Schedule,
}

pub(crate) fn snapshot(assessment: &Assessment, around: Surroundings<'_>) -> Snapshot {
    Snapshot {
        schema: SCHEMA,
        sequence: around.sequence,
        at: around.at,
        offset: around.offset,
        epoch: around.epoch,
        node: around.node.clone(),
        name: around.name.to_owned(),
        shown: assessment.shown.clone(),
        swarm: around.swarm,
        schedule: around.schedule,
    }
}
