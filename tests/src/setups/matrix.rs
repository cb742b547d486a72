//! The matrix of world by leak.

use super::{leak::LeakKind, pairwise::choose_setups, report::WorldReport, setup::Setup};
use anyhow::{Context, Result};
use std::{env, ffi::OsStr, fmt::Write as _, process::Command, sync::Mutex, thread};

/// Returns the worlds of the matrix.
pub fn list_worlds() -> Vec<Setup> {
    choose_setups()
}

/// Plays worlds, each in a sandbox of its own, several at once. `done` gets each report.
///
/// The order of the reports is that of the worlds.
///
/// # Errors
/// Fails if the program of the lab cannot be started. A world that fails is a report.
pub fn play_worlds(
    lab: &OsStr,
    worlds: &[Setup],
    at_once: usize,
    done: impl Fn(&WorldReport) + Sync,
) -> Result<Vec<WorldReport>> {
    let next = Mutex::new(0..worlds.len());
    let reports = Mutex::new(Vec::new());
    let work = || -> Result<()> {
        loop {
            let Some(index) = next.lock().ok().and_then(|mut next| next.next()) else { return Ok(()) };
            let report = play_in_sandbox(lab, worlds[index])?;
            done(&report);
            if let Ok(mut reports) = reports.lock() {
                reports.push((index, report));
            }
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or(Ok(())))
    })?;
    let mut reports = reports.into_inner().unwrap_or_default();
    reports.sort_by_key(|(index, _)| *index);
    Ok(reports.into_iter().map(|(_, report)| report).collect())
}

/// Plays one world with the lab's program, whose last line is the report.
fn play_in_sandbox(lab: &OsStr, setup: Setup) -> Result<WorldReport> {
    let mut command = Command::new(lab);
    command.args(["play", &setup.to_string()]);
    let ended = command.output().with_context(|| format!("cannot run {}", lab.display()))?;
    let (log, errors) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    let report = log.lines().last().and_then(|line| serde_json::from_str(line).ok());
    keep_log(setup, &log, &errors);
    Ok(report.unwrap_or_else(|| {
        let error = errors.lines().last().unwrap_or("no report").to_owned();
        WorldReport { world: setup.to_string(), error: Some(error), ..WorldReport::default() }
    }))
}

/// Keeps the log of a world, if a folder for it is named in `VPNSENTINEL_MATRIX_LOGS`.
fn keep_log(setup: Setup, log: &str, errors: &str) {
    if let Some(folder) = env::var_os("VPNSENTINEL_MATRIX_LOGS") {
        // The logs are for a person who looks for them.
        let _ = std::fs::create_dir_all(&folder);
        let path = std::path::Path::new(&folder).join(format!("{setup}.log"));
        let _ = std::fs::write(path, format!("{log}{errors}"));
    }
}

/// Renders the table of world by leak, in the syntax of Markdown, with what went wrong below.
pub fn render_table(reports: &[WorldReport]) -> String {
    let names: Vec<_> = LeakKind::ALL.iter().map(|leak| leak.name()).collect();
    let mut text = format!("| world | settled | false alarms | {} |\n", names.join(" | "));
    text.extend(["|---|---|---|", &"---|".repeat(names.len()), "\n"]);
    for report in reports {
        let settled = match (&report.error, &report.settled) {
            (Some(_), None) => "**not played**".to_owned(),
            (_, Some(Ok(ms))) => format!("{ms} ms"),
            (_, Some(Err(_))) => "**no**".to_owned(),
            (None, None) => "?".to_owned(),
        };
        let cells: Vec<_> = names.iter().map(|name| report.cell(name)).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {} | {settled} | {} | {} |",
            report.world,
            report.false_alarms.len(),
            cells.join(" | ")
        );
    }
    for report in reports {
        for failure in report.list_failures() {
            let _ = writeln!(text, "\n{}: {failure}", report.world);
        }
    }
    text
}
