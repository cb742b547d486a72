//! The memory of the desktop program while it is only in the tray.

use crate::report::{Report, ratio};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};
use tokio::{process::Command, time::sleep};
use vpnsentinel_tests::Screen;

/// Time until memory use is stable after the start.
const SETTLE: Duration = Duration::from_secs(30);

pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    let program = std::env::current_exe()?.with_file_name("vpnsentinel");
    ensure!(
        program.is_file(),
        "{} is missing: build it with `cargo build -p vpnsentinel`",
        program.display()
    );
    let directory = Path::new(vpnsentinel_tests::DIRECTORY).join("screen");
    let screen = Screen::start(&directory).await?;
    let mut command = Command::new(program);
    command.arg("--minimized").kill_on_drop(true);
    screen.set_environment(&mut command);
    let mut app = command.spawn().context("cannot start the desktop program")?;
    let deadline = Instant::now() + SETTLE;
    while !screen.tray_items().await?.contains('/') {
        ensure!(Instant::now() < deadline, "no tray icon within {SETTLE:?}");
        sleep(Duration::from_millis(200)).await;
    }
    sleep(SETTLE).await;
    let mut parts = serde_json::Map::new();
    let mut total = 0.0;
    for pid in list_descendants(app.id().context("the desktop program has ended")?) {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let mib = read_pss_kib(pid) / 1024.0;
        total += mib;
        parts.insert(format!("{} {pid}", name.trim()), json!(mib));
    }
    app.kill().await?;
    report.add_figure("tray_pss_mib", total);
    report.add_detail("tray_pss_mib", parts.into());
    Ok(())
}

/// Returns a process and all its descendants.
fn list_descendants(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children = threads.flat_map(|thread| {
        let text = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        text.split_whitespace().filter_map(|child| child.parse().ok()).collect::<Vec<u32>>()
    });
    std::iter::once(pid).chain(children.flat_map(list_descendants)).collect()
}

/// Returns the proportional set size of a process, or zero if it has ended.
fn read_pss_kib(pid: u32) -> f64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or_default();
    ratio(line.trim().trim_end_matches(" kB").parse().unwrap_or(0), 1)
}
