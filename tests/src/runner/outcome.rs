//! The outcome of a scenario.

use std::time::Duration;

/// The outcome of a scenario.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Everything that did not go as the file requires; empty if the scenario passed.
    pub failures: Vec<String>,
    /// The failures after which the scenario proves nothing about the program.
    ///
    /// For example, the world did not settle, or a fault was not observed.
    pub spoiled: Vec<String>,
    /// Time until each expectation was met, in the order of the file.
    pub took: Vec<Option<Duration>>,
    /// The last lines of the nodes' logs, if something failed.
    pub logs: String,
}
