//! Counts the false alarms in all calm scenarios.
//!
//! These are the worlds without faults and the scenarios marked `calm`, each of which includes a
//! full round after its last fault.

use crate::report::{Report, ratio};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use vpnsentinel_tests::{Scenario, run_scenario};

/// The folder of the scenarios, relative to the top of the repository.
const SCENARIOS: &str = "tests/scenarios";

pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    println!("\ncalm scenarios, in which every alarm is false");
    let (mut alarms, mut spoiled) = (BTreeMap::new(), Vec::new());
    for path in list_scenarios(SCENARIOS.as_ref())? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let scenario = Scenario::load(&path)?;
        if !scenario.calm {
            continue;
        }
        let mut found = Vec::new();
        let outcome = run_scenario(&scenario, |line| {
            if line["event"] == "forbidden" {
                found.extend(line["what"].as_str().map(str::to_owned));
            }
        });
        let outcome = outcome.await.with_context(|| name.clone())?;
        let others: Vec<_> = outcome.failures.into_iter().filter(|why| !found.contains(why)).collect();
        println!("{name:<34} {} false alarms {}", found.len(), others.join("; "));
        if !others.is_empty() {
            // Without the intended world the scenario proves nothing.
            spoiled.push(name.clone());
        }
        alarms.insert(name, found);
    }
    let all = alarms.values().map(Vec::len).sum();
    report.add_detail("false_alarms", json!(alarms));
    ensure!(spoiled.is_empty(), "these scenarios failed for other reasons: {}", spoiled.join(", "));
    report.add_figure("false_alarms", ratio(all, 1));
    Ok(())
}

/// Lists all scenario files except those that only repeat another one.
fn list_scenarios(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let is_scenario = path.extension().is_some_and(|extension| extension == "toml");
        if is_scenario && !fs::read_to_string(&path)?.lines().any(|line| line.starts_with("same_as")) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
