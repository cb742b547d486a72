//! Measures the latency detector on recorded round trips: `cargo run --release -p sentinel-judge --example latency -- DIR`.
//!
//! DIR holds CSV files with the columns `epoch;rtt;cp`: a time, a round trip in milliseconds (not positive: lost), and 1
//! where a person marked a change. An alarm is explained if it follows a marked change towards a lower level within a
//! dozen samples; each mark explains one alarm. Drops are injected at seeded places, by scaling all samples from there on.

use anyhow::{Context, Result, bail};
use sentinel_judge::latency::{Detector, Params};
use sentinel_model::{Micros, Moment};
use std::{fs, path::Path};

const INJECTIONS_PER_TRACE: usize = 100;
/// Samples that lead up to an injection, and that follow it.
const LEAD: usize = 600;
const TAIL: usize = 60;
/// How far behind a mark an alarm may come, and how far the person may have marked too late.
const BEHIND: usize = 12;
const AHEAD: usize = 2;

struct Trace {
    name: String,
    rtts: Vec<f64>,
    marks: Vec<usize>,
}

fn main() -> Result<()> {
    let folder = std::env::args().nth(1).context("which folder? latency DIR")?;
    let traces = load(Path::new(&folder))?;
    let params = Params::default();
    let samples: usize = traces.iter().map(|trace| trace.rtts.len()).sum();
    let (mut alarms, mut unexplained) = (0, 0);
    for trace in &traces {
        let (all, bare) = count_alarms(trace, params);
        if all > 0 {
            println!("{}: {} samples, {all} alarms, {bare} unexplained", trace.name, trace.rtts.len());
        }
        alarms += all;
        unexplained += bare;
    }
    println!("{} traces, {samples} samples", traces.len());
    println!(
        "alarms: {alarms} ({} per 1000), unexplained: {unexplained} ({} per 1000)",
        per_mille(alarms, samples),
        per_mille(unexplained, samples)
    );
    for percent in [10, 15, 20, 25, 30, 50] {
        report_injections(&traces, params, percent);
    }
    Ok(())
}

fn report_injections(traces: &[Trace], params: Params, percent: u32) {
    let mut random = 0x9e37_79b9_7f4a_7c15;
    let mut delays = Vec::new();
    let mut tried = 0;
    for trace in traces.iter().filter(|trace| trace.rtts.len() > LEAD / 4 + TAIL) {
        for _ in 0..INJECTIONS_PER_TRACE {
            let range = trace.rtts.len() - TAIL - LEAD / 4;
            let place = LEAD / 4 + usize::try_from(next(&mut random)).unwrap_or(0) % range;
            tried += 1;
            delays.extend(inject(trace, params, place, 1.0 - f64::from(percent) / 100.0));
        }
    }
    delays.sort_unstable();
    let at = |share: usize| delays.get((delays.len() * share / 100).min(delays.len().saturating_sub(1)));
    println!(
        "drop of {percent:2} %: found {} of {tried} ({} per 1000), delay in samples p50 {:?} p95 {:?} p99 {:?}",
        delays.len(),
        per_mille(delays.len(), tried),
        at(50).unwrap_or(&0),
        at(95).unwrap_or(&0),
        at(99).unwrap_or(&0),
    );
}

/// How many samples it took to find a drop injected at a place, if it was found.
fn inject(trace: &Trace, params: Params, place: usize, factor: f64) -> Option<usize> {
    let mut detector = Detector::new(params);
    let start = place.saturating_sub(LEAD);
    for (index, rtt) in trace.rtts.iter().enumerate().skip(start).take(place + TAIL - start) {
        let scaled = if index < place { *rtt } else { rtt * factor };
        if detector.push(Moment::default(), micros(scaled)).is_some() && index >= place {
            return Some(index - place + 1);
        }
    }
    None
}

/// All alarms on a trace, and those without a mark that explains them.
fn count_alarms(trace: &Trace, params: Params) -> (usize, usize) {
    let mut detector = Detector::new(params);
    let mut used = vec![false; trace.marks.len()];
    let (mut all, mut bare) = (0, 0);
    for (index, rtt) in trace.rtts.iter().enumerate() {
        if detector.push(Moment::default(), micros(*rtt)).is_none() {
            continue;
        }
        all += 1;
        let explains = |(nth, mark): &(usize, &usize)| {
            let near = **mark <= index + AHEAD && index <= **mark + BEHIND;
            near && !used[*nth] && falls(&trace.rtts, **mark)
        };
        match trace.marks.iter().enumerate().find(explains).map(|(nth, _)| nth) {
            Some(nth) => used[nth] = true,
            None => bare += 1,
        }
    }
    (all, bare)
}

/// Whether the level after a mark is lower than before it.
fn falls(rtts: &[f64], mark: usize) -> bool {
    const AROUND: usize = 10;
    let before = median(&rtts[mark.saturating_sub(AROUND)..mark]);
    let after = median(&rtts[mark..(mark + AROUND).min(rtts.len())]);
    before.zip(after).is_some_and(|(before, after)| after < before)
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

fn load(folder: &Path) -> Result<Vec<Trace>> {
    let mut paths: Vec<_> = fs::read_dir(folder)
        .with_context(|| format!("reading the folder {}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "csv"))
        .collect();
    paths.sort();
    if paths.is_empty() {
        bail!("{} holds no CSV file; give the folder of the traces", folder.display());
    }
    paths.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Result<Trace> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let (mut rtts, mut marks, mut marked) = (Vec::new(), Vec::new(), false);
    for line in text.lines().skip(1).filter(|line| !line.trim().is_empty()) {
        let mut columns = line.split(';').skip(1);
        let rtt: f64 = columns.next().unwrap_or_default().trim().parse().unwrap_or(-1.0);
        marked |= columns.next().is_some_and(|mark| mark.trim().starts_with('1'));
        if rtt > 0.0 {
            if std::mem::take(&mut marked) {
                marks.push(rtts.len());
            }
            rtts.push(rtt);
        }
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Trace { name, rtts, marks })
}

fn micros(millis: f64) -> Micros {
    std::time::Duration::try_from_secs_f64(millis / 1e3).map_or(Micros(u32::MAX), Micros::from)
}

fn per_mille(part: usize, whole: usize) -> String {
    let exact = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    format!("{:.4}", exact(part) * 1000.0 / exact(whole.max(1)))
}

/// A small generator (splitmix64), so that every run injects at the same places.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) >> 1
}
