//! What is measured, in which order.

use crate::{calm, dashboard, detection, latency, node, report::Report, round, tray};
use anyhow::Result;
use clap::{Parser, ValueEnum};
use std::path::PathBuf;

/// Where the report goes.
const REPORT: &str = "target/bench/report.json";

/// Measures the budgets of the design.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Measure only these
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
    /// How often each fault is injected, and how many full rounds are timed
    #[arg(long, default_value_t = 30)]
    runs: u32,
    /// How long the node's memory and processor time are watched
    #[arg(long, default_value_t = 10)]
    minutes: u32,
    /// A folder of round-trip traces (columns epoch;rtt;cp) for the latency detector
    #[arg(long, default_value = "../shared/data/rtt-traces")]
    traces: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    Dashboard,
    Latency,
    Detection,
    Round,
    Calm,
    Node,
    Tray,
}

pub(crate) fn main() -> Result<()> {
    let arguments = Arguments::parse();
    vpnsentinel_tests::enter()?;
    let wanted = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    let mut report = Report::default();
    if wanted(Part::Dashboard) {
        let measured = dashboard::measure(&mut report);
        report.note("dashboard", measured);
    }
    if wanted(Part::Latency) {
        let measured = latency::measure(&arguments.traces, &mut report);
        report.note("latency", measured);
    }
    vpnsentinel_tests::block_on(async {
        if wanted(Part::Detection) {
            let measured = Box::pin(detection::measure(arguments.runs, &mut report)).await;
            report.note("detection", measured);
        }
        if wanted(Part::Round) {
            let measured = round::measure(arguments.runs, &mut report).await;
            report.note("round", measured);
        }
        if wanted(Part::Calm) {
            let measured = Box::pin(calm::measure(&mut report)).await;
            report.note("calm", measured);
        }
        if wanted(Part::Node) {
            let measured = node::measure(arguments.minutes, &mut report).await;
            report.note("node", measured);
        }
        if wanted(Part::Tray) {
            let measured = tray::measure(&mut report).await;
            report.note("tray", measured);
        }
        Ok(())
    })?;
    report.print();
    report.write(REPORT.as_ref())?;
    report.outcome()
}
