//! All scenarios as one page of documentation. A test keeps `docs/scenarios.md` in step with the files.

use crate::scenario::{Expect, Scenario};
use anyhow::{Context, Result};
use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path, time::Duration};

const HEAD: &str = "# Every scenario

Each is a file in `tests/scenarios/` and a test of its own; `target/debug/lab run FILE` plays it. *Within* is how long the
program may take, counted from the fault; [detection](detection.md) has what it takes. Every story has a twin, the same world
without the fault, in which nothing may be found. This page is written by `lab table`, and a test fails when it is out of date.
";

/// The page about the scenario files in a folder.
///
/// # Errors
/// The folder or one of its files cannot be read or understood.
pub fn page(folder: &Path) -> Result<String> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(".toml").map(str::to_owned));
    }
    let mut stories =
        String::from("\n## Faults\n\n| scenario | story | must be found | within |\n|---|---|---|---|\n");
    let mut calm = String::from(
        "\n## Nothing wrong\n\nIn these no finding, no incident and no verdict but *Protected* may appear, unless the last column says otherwise.\n\n\
         | scenario | world | may be said |\n|---|---|---|\n",
    );
    for name in names {
        let path = folder.join(format!("{name}.toml"));
        let scenario = Scenario::load(&path)?;
        if repeats(&path)? {
            continue;
        }
        if scenario.fault.is_empty() {
            let said = if scenario.never.anything { "" } else { "what is merely worth knowing" };
            writeln!(calm, "| `{name}` | {} | {said} |", scenario.description)?;
        } else {
            let (mut found, mut within): (Vec<_>, Vec<_>) = scenario.expect.iter().map(row).unzip();
            if scenario.calm {
                found.push("nothing else that alarms".to_owned());
                within.push("ever".to_owned());
            }
            let (found, within) = (found.join("<br>"), within.join("<br>"));
            writeln!(stories, "| `{name}` | {} | {found} | {within} |", scenario.description)?;
        }
    }
    Ok(format!("{HEAD}{stories}{calm}"))
}

/// Whether a file only repeats another one.
fn repeats(path: &Path) -> Result<bool> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text.lines().any(|line| line.starts_with("same_as")))
}

fn row(expect: &Expect) -> (String, String) {
    let mut parts = Vec::new();
    parts.extend(expect.verdict.map(|verdict| format!("*{verdict}*")));
    parts.extend(expect.finding.map(|finding| format!("`{finding}`")));
    parts.extend(expect.without.iter().map(|finding| format!("no `{finding}`")));
    parts.extend(expect.says.as_ref().map(|words| format!("saying \u{201c}{words}\u{201d}")));
    parts.extend(expect.incident_state.map(|state| format!("its incident {state:?}").to_lowercase()));
    let seconds = |ms| Duration::from_millis(ms).as_secs_f64();
    let lasting =
        if expect.for_ms > 0 { format!(", for {} s", seconds(expect.for_ms)) } else { String::new() };
    let found = format!("after *{}*: {}", expect.after, parts.join(", "));
    (found, format!("{} s{lasting}", seconds(expect.within_ms)))
}
