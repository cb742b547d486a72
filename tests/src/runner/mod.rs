//! Runs a scenario and logs its course, one JSON object per line.
//!
//! Every line has `ms`, the time since the beginning, and `event`: `building`, `up`, `settled`,
//! `fault`, `control`, `uncontrolled`, `verdict`, `finding`, `gone`, `incident`, `met`, `missed`,
//! `forbidden`, and at the end `result`.
//!
//! A state that could date from before a fault proves nothing:
//!
//! - The effect of every fault is observed in the world itself, see [`PositiveControl`].
//! - An expectation that the snapshot before a fault met already counts only once a full round that
//!   began after the fault has ended, and the fault's effect was observed.
//!
//! [`PositiveControl`]: crate::faults::PositiveControl

mod change_log;
mod expectations;
mod forbidden;
mod outcome;
mod rounds;
mod scenario_run;
#[cfg(test)]
mod tests;
mod timeline;

pub use outcome::Outcome;

use crate::{faults::Fault, scenario::Scenario, world::World};
use anyhow::{Result, bail};
use scenario_run::ScenarioRun;
use serde_json::{Value, json};
use std::time::Instant;

/// Runs a scenario in a new world. `print` gets every line of the log.
///
/// # Errors
/// Fails if the world cannot be built or a fault cannot be injected. An expectation that is not met
/// is a failure in the outcome, not an error.
pub async fn run_scenario(scenario: &Scenario, mut print: impl FnMut(&Value)) -> Result<Outcome> {
    let mut run = ScenarioRun::new(scenario, &mut print);
    run.log("building", json!({ "description": scenario.description }));
    let mut world = World::start(scenario.world_spec()).await?;
    run.log("up", json!({}));
    let mut snapshots = world.node_api("laptop")?.subscribe();
    if run.settle(&mut snapshots).await? {
        let inject = async |fault: &Fault| {
            let control = world.prepare_control(fault).await?;
            let at = Instant::now();
            world.inject(fault).await.map(|()| (at, control))
        };
        run.play_faults(&mut snapshots, inject).await?;
    }
    for host in &scenario.never.packets_to {
        let packets = world.packets_to(host).await?;
        if packets > 0 {
            run.fail("forbidden", format!("{packets} packets to {host}"));
        }
    }
    let mut outcome = run.finish();
    if !outcome.failures.is_empty() {
        outcome.logs = world.logs(40);
    }
    Ok(outcome)
}

/// Runs a scenario and fails if anything did not go as its file requires.
///
/// # Errors
/// Fails as [`run_scenario`] does, and for every failure in the outcome.
pub async fn require_pass(scenario: &Scenario, print: impl FnMut(&Value)) -> Result<Outcome> {
    let outcome = run_scenario(scenario, print).await?;
    if !outcome.failures.is_empty() {
        bail!("{}\n\nthe ends of the nodes' logs:\n{}", outcome.failures.join("\n"), outcome.logs);
    }
    Ok(outcome)
}
