//! The parts of the bench and their order.

use crate::{calm, dashboard, detection, latency, node, report::Report, round, tray};
use anyhow::Result;
use clap::{Parser, ValueEnum};
use std::path::PathBuf;

/// The path of the report.
const REPORT: &str = "target/bench/report.json";

/// Measure the budgets of the design
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
        report.record_part("dashboard", measured);
    }
    if wanted(Part::Latency) {
        let measured = latency::measure(&arguments.traces, &mut report);
        report.record_part("latency", measured);
    }
    vpnsentinel_tests::block_on(async {
        if wanted(Part::Detection) {
            let measured = Box::pin(detection::measure(arguments.runs, &mut report)).await;
            report.record_part("detection", measured);
        }
        if wanted(Part::Round) {
            let measured = round::measure(arguments.runs, &mut report).await;
            report.record_part("round", measured);
        }
        if wanted(Part::Calm) {
            let measured = Box::pin(calm::measure(&mut report)).await;
            report.record_part("calm", measured);
        }
        if wanted(Part::Node) {
            let measured = node::measure(arguments.minutes, &mut report).await;
            report.record_part("node", measured);
        }
        if wanted(Part::Tray) {
            let measured = tray::measure(&mut report).await;
            report.record_part("tray", measured);
        }
        Ok(())
    })?;
    report.print();
    report.write(REPORT.as_ref())?;
    report.check_parts()
}
