//! False alarms: every scenario in which nothing goes wrong, and what was found there nevertheless.

use crate::report::{Report, ratio};
use anyhow::{Context, Result};
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
    println!("\nscenarios in which nothing goes wrong");
    let mut alarms = BTreeMap::new();
    for path in calm(SCENARIOS.as_ref())? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let scenario = Scenario::load(&path)?;
        let mut found = Vec::new();
        let outcome = run(&scenario, |line| {
            if line["event"] == "forbidden" {
                found.push(line["what"].clone());
            }
        });
        outcome.await.with_context(|| name.clone())?;
        println!("{name:<34} {} false alarms", found.len());
        alarms.insert(name, found);
    }
    let all = alarms.values().map(Vec::len).sum();
    report.figure("false_alarms", ratio(all, 1));
    report.detail("false_alarms", json!(alarms));
    Ok(())
}

/// The files without a fault. One that only repeats another is the same world and need not run twice.
fn calm(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("no scenarios in {}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let is_twin = path.to_string_lossy().ends_with(".twin.toml");
        if is_twin && !fs::read_to_string(&path)?.lines().any(|line| line.starts_with("same_as")) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
