//! The compressed size of the dashboard.

use crate::report::Report;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
};

/// The folder with Trunk's output.
const DIST: &str = "ui/dist";

/// Measures every file, each compressed separately as a server would send it.
pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let mut total = 0.0;
    let mut files = serde_json::Map::new();
    for entry in fs::read_dir(DIST).with_context(|| format!("{DIST} is missing: build it with `make ui`"))? {
        let path = entry?.path();
        // The .gz files are compressed copies of the others.
        if path.is_file() && path.extension().is_none_or(|extension| extension != "gz") {
            let kib = compressed_kib(&fs::read(&path)?)?;
            total += kib;
            files.insert(path.file_name().unwrap_or_default().to_string_lossy().into_owned(), json!(kib));
        }
    }
    ensure!(total > 0.0, "{DIST} is empty: build it with `make ui`");
    report.add_figure("ui_kib", total);
    report.add_detail("ui_kib", files.into());
    Ok(())
}

fn compressed_kib(content: &[u8]) -> Result<f64> {
    let mut gzip =
        Command::new("gzip").args(["-9", "-c"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut input = gzip.stdin.take().context("gzip has no input")?;
    let content = content.to_vec();
    let feeding = std::thread::spawn(move || input.write_all(&content));
    let output = gzip.wait_with_output()?;
    ensure!(matches!(feeding.join(), Ok(Ok(()))) && output.status.success(), "gzip failed");
    Ok(crate::report::ratio(output.stdout.len(), 1024))
}
