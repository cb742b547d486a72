//! The latency detectors on recorded traces: their false alarms, and how soon they detect drops.

use crate::{
    alternatives::{Cusum, DropDetector, Ewma, FixedThreshold, JudgeDetector, Medratio, median},
    report::{Report, percentile, ratio},
};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{fs, path::Path};

/// An alarm at most this many samples after a marked change is due to that change.
const NEAR: usize = 20;
/// Number of samples before an injected drop, from which a detector learns.
const BEFORE: usize = 200;
/// Number of samples within which a detector must find a drop.
const WITHIN: usize = 30;
const SEEDS: u64 = 20;
/// How many times each trace is played with Wi-Fi delays to count the false alarms.
const NOISY_RUNS: u64 = 3;
const DROPS: [f64; 5] = [0.10, 0.15, 0.20, 0.30, 0.50];
const MINUTES_PER_DAY: f64 = 1440.0;
/// The detector whose figures are reported.
const OURS: &str = "VPNSentinel";

type NewDetector = fn() -> Box<dyn DropDetector>;

const DETECTORS: [(&str, NewDetector); 7] = [
    (OURS, || Box::new(JudgeDetector::new(0.15))),
    ("VPNSentinel 10 %", || Box::new(JudgeDetector::new(0.10))),
    ("former CUSUM", || Box::<Cusum>::default()),
    ("fixed threshold", || Box::new(FixedThreshold::new(0.20))),
    ("fixed, 10 %", || Box::new(FixedThreshold::new(0.10))),
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

/// How often a detector raised an alarm on a set of traces without injected drops.
#[derive(Clone, Copy, Debug, Default)]
struct Alarms {
    samples: usize,
    /// Alarms that are not due to a marked change.
    unexplained: usize,
    /// Alarms that are due to a marked change.
    explained: usize,
}

impl Alarms {
    fn add(&mut self, other: Self) {
        self.samples += other.samples;
        self.unexplained += other.unexplained;
        self.explained += other.explained;
    }

    /// Returns the false alarms per 1,000 samples.
    fn per_1000(&self) -> f64 {
        ratio(self.unexplained, self.samples) * 1000.0
    }

    /// Returns the alarms at marked changes per 1,000 samples.
    fn explained_per_1000(&self) -> f64 {
        ratio(self.explained, self.samples) * 1000.0
    }
}

/// How many of the injected drops of one size were found, and after how many samples.
#[derive(Clone, Copy, Debug)]
struct Detection {
    drop: f64,
    noisy: bool,
    rate: f64,
    p50: f64,
    p95: f64,
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
        "\nlatency detectors on {count} traces, {samples} samples, {days:.0} target-days, {SEEDS} seeds;\n\
         false: alarms per 1,000 samples, clean and with Wi-Fi delays; marked: those at marked changes, which \
         do not count;\ndrops: found % (p50/p95 samples)"
    );
    println!("{:<17} {:>6} {:>6} {:>6}", "", "false", "Wi-Fi", "marked");
    for (name, new_detector) in DETECTORS {
        let [clean, wifi] = [0, NOISY_RUNS].map(|runs| count_alarms(&traces, new_detector, runs));
        let found: Vec<Detection> = [false, true]
            .into_iter()
            .flat_map(|noisy| DROPS.map(|drop| measure_detection(&traces, new_detector, drop, noisy)))
            .collect();
        print_detector(name, clean, wifi, &found);
        if name == OURS {
            add_figures(clean, wifi, &found, report);
        }
        report.add_detail(
            &format!("latency {name}"),
            json!({
                "false_per_1000": clean.per_1000(),
                "false_per_1000_wifi": wifi.per_1000(),
                "at_marked_changes_per_1000": clean.explained_per_1000(),
                "false_per_target_day": ratio(clean.unexplained, 1) / days,
                "found": detail_of(&found),
            }),
        );
    }
    Ok(())
}

/// Prints the figures of one detector in a line.
fn print_detector(name: &str, clean: Alarms, wifi: Alarms, found: &[Detection]) {
    print!(
        "{name:<17} {:>6.3} {:>6.3} {:>6.3} ",
        clean.per_1000(),
        wifi.per_1000(),
        clean.explained_per_1000()
    );
    for noisy in [false, true] {
        print!(" {}", if noisy { "| Wi-Fi" } else { "clean" });
        for Detection { drop, rate, p50, p95, .. } in found.iter().filter(|found| found.noisy == noisy) {
            let delay = if *rate > 0.0 { format!(" ({p50:.0}/{p95:.0})") } else { String::new() };
            print!("  {:.0}%: {:.1}{delay}", drop * 100.0, rate * 100.0);
        }
    }
    println!();
}

/// Adds the figures of the judge's detector; those with Wi-Fi delays have a key of their own.
fn add_figures(clean: Alarms, wifi: Alarms, found: &[Detection], report: &mut Report) {
    report.add_figure("latency_false_per_1000", clean.per_1000());
    report.add_figure("latency_false_wifi_per_1000", wifi.per_1000());
    for Detection { drop, noisy, rate, p95, .. } in found {
        let suffix = if *noisy { "_wifi" } else { "" };
        let key = format!("latency_detect{:.0}{suffix}", drop * 100.0);
        if [0.15, 0.20, 0.30].contains(drop) {
            report.add_figure(&format!("{key}_rate"), *rate);
            report.add_figure(&format!("{key}_p95"), *p95);
        }
    }
}

/// Returns the rates and delays by size and noise.
fn detail_of(found: &[Detection]) -> Value {
    let entry = |Detection { drop, noisy, rate, p50, p95 }: &Detection| {
        (format!("{drop} {}", if *noisy { "wifi" } else { "clean" }), json!([rate, p50, p95]))
    };
    Value::Object(found.iter().map(entry).collect())
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

/// Counts the alarms on unchanged traces, or with Wi-Fi delays in a number of runs.
fn count_alarms(traces: &[Trace], new_detector: NewDetector, noisy_runs: u64) -> Alarms {
    let mut all = Alarms::default();
    for (trace, number) in traces.iter().zip(0u64..) {
        if noisy_runs == 0 {
            all.add(count_trace_alarms(trace, new_detector, |rtt| rtt));
        }
        for run in 0..noisy_runs {
            let mut random = fastrand::Rng::with_seed(number * SEEDS + run);
            all.add(count_trace_alarms(trace, new_detector, |rtt| rtt + draw_wifi_delay(&mut random)));
        }
    }
    all
}

/// Counts the alarms on one trace, whose samples are changed by `delay`.
fn count_trace_alarms(trace: &Trace, new_detector: NewDetector, mut delay: impl FnMut(f64) -> f64) -> Alarms {
    let mut detector = new_detector();
    let mut alarms = Alarms { samples: trace.rtt.len(), ..Alarms::default() };
    let is_explained =
        |at: usize| trace.changes.iter().any(|change| at + 2 >= *change && at <= change + NEAR);
    for (at, rtt) in trace.rtt.iter().enumerate() {
        if detector.push(delay(*rtt)) {
            let count = if is_explained(at) { &mut alarms.explained } else { &mut alarms.unexplained };
            *count += 1;
        }
    }
    alarms
}

/// Injects drops of one size into the traces.
fn measure_detection(traces: &[Trace], new_detector: NewDetector, drop: f64, noisy: bool) -> Detection {
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
    let (p50, p95) = (percentile(&delays, 0.5), percentile(&delays, 0.95));
    Detection { drop, noisy, rate: ratio(delays.len(), tried), p50, p95 }
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
