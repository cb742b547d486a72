//! What playing a world showed.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The result of one world.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorldReport {
    /// The name of the setup.
    pub world: String,
    /// Why the world could not be built or played, if so.
    pub error: Option<String>,
    /// Milliseconds until it settled, or what it lacked.
    pub settled: Option<Result<u64, String>>,
    /// The alarms while nothing leaked.
    pub false_alarms: Vec<String>,
    /// The result of each leak, by its name.
    pub leaks: BTreeMap<String, LeakResult>,
}

/// The result of one leak in one world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeakResult {
    /// It was found after so many milliseconds.
    Found(u64),
    /// It was not found in time; the last verdict's sentence.
    Missed(String),
    /// The setup held it back, and no exposure was reported.
    Held,
    /// It does not apply, for this reason.
    Not(String),
    /// The world did not show that anything leaked, so the result says nothing.
    Uncontrolled(String),
}

impl WorldReport {
    /// Returns everything that is not as it should be, one line each; empty if the world passed.
    pub fn list_failures(&self) -> Vec<String> {
        let mut failures: Vec<_> =
            self.error.iter().map(|error| format!("cannot be played: {error}")).collect();
        if let Some(Err(lacks)) = &self.settled {
            failures.push(format!("does not settle: {lacks}"));
        }
        failures.extend(self.false_alarms.iter().map(|alarm| format!("false alarm: {alarm}")));
        for (leak, result) in &self.leaks {
            match result {
                LeakResult::Found(_) | LeakResult::Held | LeakResult::Not(_) => {}
                LeakResult::Missed(last) => failures.push(format!("{leak} missed: {last}")),
                LeakResult::Uncontrolled(why) => failures.push(format!("{leak} is not proven: {why}")),
            }
        }
        failures
    }

    /// Returns the cell of a leak in the table.
    pub(super) fn cell(&self, leak: &str) -> String {
        match self.leaks.get(leak) {
            None => "?".to_owned(),
            Some(LeakResult::Found(ms)) => format!("{ms} ms"),
            Some(LeakResult::Missed(_)) => "**missed**".to_owned(),
            Some(LeakResult::Held) => "held".to_owned(),
            Some(LeakResult::Not(reason)) => format!("- ({reason})"),
            Some(LeakResult::Uncontrolled(_)) => "**unproven**".to_owned(),
        }
    }
}
