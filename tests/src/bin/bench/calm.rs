//! False alarms: every scenario in which nothing is a reason for alarm, and what was found there nevertheless. These are the
//! worlds without faults and the stories that call themselves calm, each of which rests on a full round after its last
//! fault.

use crate::report::{Report, ratio};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use vpnsentinel_tests::{Scenario, run};

/// Where the scenarios are, from the top of the repository.
const SCENARIOS: &str = "tests/scenarios";

pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    println!("\nscenarios in which nothing is a reason for alarm");
    let (mut alarms, mut spoiled) = (BTreeMap::new(), Vec::new());
    for path in scenarios(SCENARIOS.as_ref())? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let scenario = Scenario::load(&path)?;
        if !scenario.calm {
            continue;
        }
        let mut found = Vec::new();
        let outcome = run(&scenario, |line| {
            if line["event"] == "forbidden" {
                found.extend(line["what"].as_str().map(str::to_owned));
            }
        });
        let outcome = outcome.await.with_context(|| name.clone())?;
        let otherwise: Vec<_> = outcome.failures.into_iter().filter(|why| !found.contains(why)).collect();
        println!("{name:<34} {} false alarms {}", found.len(), otherwise.join("; "));
        if !otherwise.is_empty() {
            // A world that never was what its story says shows nothing, least of all calm.
            spoiled.push(name.clone());
        }
        alarms.insert(name, found);
    }
    let all = alarms.values().map(Vec::len).sum();
    report.detail("false_alarms", json!(alarms));
    ensure!(spoiled.is_empty(), "these stories could not be told: {}", spoiled.join(", "));
    report.figure("false_alarms", ratio(all, 1));
    Ok(())
}

/// All files, but for those that only repeat another: that is the same world and need not run twice.
fn scenarios(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("no scenarios in {}", folder.display()))?;
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
