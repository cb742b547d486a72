//! The page of documentation about all scenarios, which a test compares with `docs/scenarios.md`.

use crate::scenario::{ExpectedSnapshot, Scenario};
use anyhow::{Context, Result};
use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path, time::Duration};

const HEAD: &str = "# Scenarios

Each scenario is a file in `tests/scenarios/` and a test of its own; `target/debug/lab run FILE` runs it. *Within* is the longest
time the program may take, counted from the fault; [detection](detection.md) lists the times it usually takes. Every scenario
with faults has a twin: the same world without the fault, in which nothing may be found. `lab table` writes this page, and a test
fails when it is out of date.
";

const FAULTS: &str = "
## With faults

| scenario | description | must be reported | within |
|---|---|---|---|
";

const NO_FAULTS: &str = "
## Without faults

No finding, no incident and no verdict other than *Protected* may appear, unless the last column says otherwise.

| scenario | description | may be reported |
|---|---|---|
";

/// Renders the page about the scenario files in a folder.
///
/// # Errors
/// Fails if the folder or one of its files cannot be read or parsed.
pub fn render_scenario_page(folder: &Path) -> Result<String> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(".toml").map(str::to_owned));
    }
    let (mut with_faults, mut without_faults) = (FAULTS.to_owned(), NO_FAULTS.to_owned());
    for name in names {
        let path = folder.join(format!("{name}.toml"));
        let scenario = Scenario::load(&path)?;
        if repeats_another(&path)? {
            continue;
        }
        if scenario.fault.is_empty() {
            let allowed = if scenario.never.anything { "" } else { "information" };
            writeln!(without_faults, "| `{name}` | {} | {allowed} |", scenario.description)?;
        } else {
            let (mut states, mut times): (Vec<_>, Vec<_>) =
                scenario.expect.iter().map(describe_expected).unzip();
            if scenario.calm {
                states.push("no other alarm".to_owned());
                times.push("at any time".to_owned());
            }
            let (states, times) = (states.join("<br>"), times.join("<br>"));
            writeln!(with_faults, "| `{name}` | {} | {states} | {times} |", scenario.description)?;
        }
    }
    Ok(format!("{HEAD}{with_faults}{without_faults}"))
}

/// Returns true if a file only repeats another one.
fn repeats_another(path: &Path) -> Result<bool> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text.lines().any(|line| line.starts_with("same_as")))
}

/// Describes an expected snapshot and its time, for the last two columns of the table.
fn describe_expected(expect: &ExpectedSnapshot) -> (String, String) {
    let mut parts = Vec::new();
    parts.extend(expect.verdict.map(|verdict| format!("*{verdict}*")));
    parts.extend(expect.finding.map(|finding| format!("`{finding}`")));
    parts.extend(expect.without.iter().map(|finding| format!("no `{finding}`")));
    parts.extend(expect.says.as_ref().map(|words| format!("naming \u{201c}{words}\u{201d}")));
    parts.extend(expect.incident_state.map(|state| format!("its incident {state:?}").to_lowercase()));
    let seconds = |ms| Duration::from_millis(ms).as_secs_f64();
    let lasting =
        if expect.for_ms > 0 { format!(", for {} s", seconds(expect.for_ms)) } else { String::new() };
    let state = format!("after *{}*: {}", expect.after.replace('-', " "), parts.join(", "));
    (state, format!("{} s{lasting}", seconds(expect.within_ms)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expectation_is_described_in_words() {
        let expect = "after = \"names-falsified\"\nwithin_ms = 1500\nfor_ms = 500\nfinding = \"dns-tampering\"\n\
                      says = \"stun.example\"\nincident_state = \"firing\"\n";
        let (state, time) = describe_expected(&toml::from_str(expect).unwrap());
        let described = "after *names falsified*: `dns-tampering`, naming \u{201c}stun.example\u{201d}, its incident firing";
        assert_eq!((state.as_str(), time.as_str()), (described, "1.5 s, for 0.5 s"));
    }
}
