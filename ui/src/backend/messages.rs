//! What a backend delivers, and how snapshots are parsed.

use sentinel_model::{SCHEMA, Snapshot, Timestamp};
use serde::Deserialize;
use std::rc::Rc;

/// A snapshot together with the node's clock at the time of the request.
pub struct TimedSnapshot {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// The node's wall clock, if the backend can determine it.
    pub node_time: Option<Timestamp>,
}

/// An event of the stream that follows a node.
pub enum StreamEvent {
    /// A new snapshot arrived.
    Snapshot(Box<Snapshot>),
    /// The stream was interrupted; the backend is already reconnecting.
    Interrupted,
    /// A message arrived that this dashboard cannot read; the sentence says what to do.
    Unreadable(String),
}

impl From<Result<Snapshot, String>> for StreamEvent {
    fn from(parsed: Result<Snapshot, String>) -> Self {
        match parsed {
            Ok(snapshot) => Self::Snapshot(Box::new(snapshot)),
            Err(message) => Self::Unreadable(message),
        }
    }
}

/// A function that is called with every event of the stream.
pub type Listener = Rc<dyn Fn(StreamEvent)>;

/// Parses a snapshot from its JSON. The error is a sentence for the person.
///
/// The version is read first, so that a newer node is distinguished from garbage.
pub(super) fn parse_snapshot(json: &str) -> Result<Snapshot, String> {
    #[derive(Deserialize)]
    struct Version {
        schema: u32,
    }
    match serde_json::from_str::<Version>(json) {
        Ok(version) if version.schema != SCHEMA => Err(format!(
            "The node uses version {} of the state format, this dashboard version {SCHEMA}. Reload the page.",
            version.schema
        )),
        _ => serde_json::from_str(json)
            .map_err(|error| format!("The node's answer could not be read: {error}. Reload the page.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_of_the_state_is_named_and_garbage_is_called_garbage() {
        let newer = parse_snapshot(r#"{"schema": 99}"#).unwrap_err();
        assert!(newer.contains("version 99"), "{newer}");
        let garbage = parse_snapshot("<html>").unwrap_err();
        assert!(garbage.contains("could not be read"), "{garbage}");
        assert!(matches!(StreamEvent::from(Err(garbage)), StreamEvent::Unreadable(_)));
    }
}
