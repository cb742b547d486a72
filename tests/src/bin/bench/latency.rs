//! The latency detectors on recorded traces: their false alarms, and how soon they detect drops.

use crate::{
    alternatives::{DropDetector, Ewma, FixedThreshold, JudgeDetector, Medratio, median},
    report::{Report, percentile, ratio},
};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::{fs, path::Path};

/// An alarm at most this many samples after a marked change is due to that change.
const NEAR: usize = 20;
/// Number of samples before an injected drop, from which a detector learns.
const BEFORE: usize = 200;
/// Number of samples within which a detector must find a drop.
const WITHIN: usize = 30;
const SEEDS: u64 = 20;
const DROPS: [f64; 5] = [0.10, 0.15, 0.20, 0.30, 0.50];
const MINUTES_PER_DAY: f64 = 1440.0;

type NewDetector = fn() -> Box<dyn DropDetector>;

const DETECTORS: [(&str, NewDetector); 4] = [
    ("VPNSentinel", || Box::new(JudgeDetector::new())),
    ("fixed threshold", || Box::<FixedThreshold>::default()),
    ("Medratio 10/2", || Box::<Medratio>::default()),
    ("EWMA", || Box::<Ewma>::default()),
];

/// A recorded series of round trips to one target.
struct Trace {
    /// Round trips in milliseconds.
    rtt: Vec<f64>,
    /// Minutes between two samples.
    step: f64,
    /// Indices of the changes that people marked.
    changes: Vec<usize>,
}

impl Trace {
    /// Returns the duration of the trace in days, without lost replies and gaps.
    fn days(&self) -> f64 {
        ratio(self.rtt.len(), 1) * self.step / MINUTES_PER_DAY
    }
}

pub(crate) fn measure(folder: &Path, report: &mut Report) -> Result<()> {
    if !folder.is_dir() {
        println!("no traces in {}: the latency detector is not measured (--traces DIR)", folder.display());
        return Ok(());
    }
    let traces = load_traces(folder)?;
    let samples: usize = traces.iter().map(|trace| trace.rtt.len()).sum();
    let days: f64 = traces.iter().map(Trace::days).sum();
    let count = traces.len();
    println!(
        "\nlatency detectors on {count} traces, {samples} samples, {days:.0} target-days, {SEEDS} seeds"
    );
    println!("{:<16} {:>11} {:>13}   found % (p50/p95 samples)", "", "false/1000", "per target-day");
    for (name, new_detector) in DETECTORS {
        let alarms: usize = traces.iter().map(|trace| count_false_alarms(trace, new_detector)).sum();
        let per_sample = ratio(alarms, samples);
        print!("{name:<16} {:>11.3} {:>13.3}  ", per_sample * 1000.0, ratio(alarms, 1) / days);
        let mut found = serde_json::Map::new();
        for noisy in [false, true] {
            print!(" {}", if noisy { "| Wi-Fi" } else { "clean" });
            for drop in DROPS {
                let (rate, delays) = measure_detection(&traces, new_detector, drop, noisy);
                let (p50, p95) = (percentile(&delays, 0.5), percentile(&delays, 0.95));
                let delay = if delays.is_empty() { String::new() } else { format!(" ({p50:.0}/{p95:.0})") };
                print!("  {:.0}%: {:.1}{delay}", drop * 100.0, rate * 100.0);
                found.insert(
                    format!("{drop} {}", if noisy { "wifi" } else { "clean" }),
                    json!([rate, p50, p95]),
                );
                if name == "VPNSentinel" && !noisy && (drop - 0.30).abs() < 1e-9 {
                    report.add_figure("latency_detect30_rate", rate);
                    report.add_figure("latency_detect30_p95", p95);
                }
            }
        }
        println!();
        if name == "VPNSentinel" {
            report.add_figure("latency_false_per_1000", per_sample * 1000.0);
        }
        report.add_detail(
            &format!("latency {name}"),
            json!({
                "false_per_1000": per_sample * 1000.0,
                "false_per_target_day": ratio(alarms, 1) / days,
                "found": found,
            }),
        );
    }
    Ok(())
}

fn load_traces(folder: &Path) -> Result<Vec<Trace>> {
    let mut paths: Vec<_> =
        fs::read_dir(folder)?.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "csv"));
    paths.sort();
    ensure!(!paths.is_empty(), "no .csv file in {}", folder.display());
    paths
        .iter()
        .map(|path| parse_trace(path).with_context(|| format!("{} is not a trace", path.display())))
        .collect()
}

/// Parses the columns epoch;rtt;cp after a header. Lost replies are left out.
fn parse_trace(path: &Path) -> Result<Trace> {
    let mut trace = Trace { rtt: Vec::new(), step: 0.0, changes: Vec::new() };
    let (mut before, mut steps) = (None, Vec::new());
    for line in fs::read_to_string(path)?.lines().skip(1) {
        let mut fields = line.split(';');
        let at = fields.next().and_then(parse_minutes).with_context(|| format!("no time in {line}"))?;
        let rtt: f64 = fields.next().context("no rtt")?.trim().parse().with_context(|| line.to_owned())?;
        if fields.next().is_some_and(|mark| mark.trim().parse::<f64>().is_ok_and(|mark| mark > 0.5)) {
            trace.changes.push(trace.rtt.len());
        }
        if rtt.is_finite() && rtt > 0.0 {
            trace.rtt.push(rtt);
        }
        // The time of day decreases at midnight.
        steps.extend(before.replace(at).map(|before| at - before).filter(|step| *step > 0.0));
    }
    trace.step = median(&steps);
    ensure!(trace.step > 0.0, "its times do not increase");
    Ok(trace)
}

/// Parses a time to minutes: the time of day of a date and time, or a number of seconds.
///
/// Dates and times look like `25/11/2016 14:09` or `2016-11-25 13:16:08`.
fn parse_minutes(epoch: &str) -> Option<f64> {
    let Some((_, time)) = epoch.trim().split_once(' ') else {
        return epoch.trim().parse().ok().map(|seconds: f64| seconds / 60.0);
    };
    let parts = time.split(':').map(|part| part.trim().parse::<f64>().ok());
    let scaled = parts.zip([1.0, 1.0 / 60.0, 1.0 / 3600.0]).map(|(part, hours)| Some(part? * hours * 60.0));
    scaled.sum()
}

/// Counts the alarms that are not due to a marked change.
fn count_false_alarms(trace: &Trace, new_detector: NewDetector) -> usize {
    let mut detector = new_detector();
    let explained = |at: usize| trace.changes.iter().any(|change| at + 2 >= *change && at <= change + NEAR);
    trace.rtt.iter().enumerate().filter(|(at, rtt)| detector.push(**rtt) && !explained(*at)).count()
}

/// Injects drops into the traces. Returns the share that was detected, and the samples that it
/// took.
fn measure_detection(traces: &[Trace], new_detector: NewDetector, drop: f64, noisy: bool) -> (f64, Vec<f64>) {
    let (mut tried, mut delays) = (0, Vec::new());
    for (trace, number) in traces.iter().zip(0u64..) {
        for seed in 0..SEEDS {
            let mut random = fastrand::Rng::with_seed(number * SEEDS + seed);
            let Some(start) = choose_quiet_stretch(trace, &mut random) else { continue };
            tried += 1;
            let mut detector = new_detector();
            let stretch = &trace.rtt[start..start + BEFORE + WITHIN];
            let found = stretch.iter().enumerate().find(|(at, rtt)| {
                let rtt = if noisy { **rtt + draw_wifi_delay(&mut random) } else { **rtt };
                let changed = if *at >= BEFORE { rtt * (1.0 - drop) } else { rtt };
                detector.push(changed) && *at >= BEFORE
            });
            if let Some((at, _)) = found {
                delays.push(ratio(at - BEFORE + 1, 1));
            }
        }
    }
    (ratio(delays.len(), tried), delays)
}

/// Chooses the start of a random stretch without a marked change.
fn choose_quiet_stretch(trace: &Trace, random: &mut fastrand::Rng) -> Option<usize> {
    let length = BEFORE + WITHIN;
    let last = trace.rtt.len().checked_sub(length)?;
    let quiet = |start: usize| !trace.changes.iter().any(|change| (start..start + length).contains(change));
    (0..50).map(|_| random.usize(0..=last)).find(|start| quiet(*start))
}

/// Draws the delay of a busy Wi-Fi in milliseconds: always a little, sometimes a retransmission.
fn draw_wifi_delay(random: &mut fastrand::Rng) -> f64 {
    let little = random.f64() * 2.0;
    if random.f64() < 0.05 { little + 5.0 + random.f64() * 40.0 } else { little }
}
