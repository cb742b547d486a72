//! The measured figures and their budgets.

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, fs, path::Path};

/// The budgets of the design: key, bound, and whether the bound is a minimum.
const BUDGETS: [(&str, f64, bool); 17] = [
    ("detect_local_p95_ms", 300.0, false),
    ("detect_silent_exit_p95_ms", 1500.0, false),
    ("detect_interception_rounds", 2.0, false),
    ("round_over_floor", 1.5, false),
    ("node_rss_mib", 15.0, false),
    ("node_cpu_percent", 0.5, false),
    ("beacon_kib_per_hour", 1024.0, false),
    ("tray_pss_mib", 64.0, false),
    ("ui_kib", 250.0, false),
    ("latency_false_per_1000", 0.05, false),
    ("latency_false_wifi_per_1000", 0.05, false),
    ("latency_detect15_rate", 0.90, true),
    ("latency_detect15_wifi_rate", 0.90, true),
    ("latency_detect30_rate", 0.99, true),
    ("latency_detect30_p95", 2.0, false),
    ("latency_detect30_wifi_p95", 2.0, false),
    ("false_alarms", 0.0, false),
];

/// All figures measured so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    figures: Vec<(String, f64)>,
    details: Map<String, Value>,
    /// The parts that failed, each with its error.
    failed: Vec<(String, String)>,
}

impl Report {
    /// Adds a figure under its key.
    pub(crate) fn add_figure(&mut self, key: &str, value: f64) {
        self.figures.push((key.to_owned(), value));
    }

    /// Adds the values behind a figure.
    pub(crate) fn add_detail(&mut self, key: &str, value: Value) {
        self.details.insert(key.to_owned(), value);
    }

    /// Records how a part ended. The failure of one part keeps the figures of the others.
    pub(crate) fn record_part(&mut self, part: &str, measured: Result<()>) {
        if let Err(error) = measured {
            eprintln!("{part} failed: {error:?}");
            self.failed.push((part.to_owned(), format!("{error:#}")));
        }
    }

    /// Checks that no part has failed.
    ///
    /// # Errors
    /// Fails if a part has failed.
    pub(crate) fn check_parts(&self) -> Result<()> {
        let failed: Vec<_> = self.failed.iter().map(|(part, why)| format!("{part}: {why}")).collect();
        ensure!(failed.is_empty(), "some parts failed:\n{}", failed.join("\n"));
        Ok(())
    }

    /// Returns the keys of the budgets without a figure.
    fn list_missing(&self) -> impl Iterator<Item = &'static str> {
        let measured = |key: &str| self.figures.iter().any(|(name, _)| name == key);
        BUDGETS.into_iter().map(|(key, _, _)| key).filter(move |key| !measured(key))
    }

    pub(crate) fn print(&self) {
        println!("\n{:<34} {:>12} {:>12}", "figure", "measured", "budget");
        for (key, value) in &self.figures {
            let budget = BUDGETS.iter().find(|(name, _, _)| name == key);
            let (bound, verdict) = match budget {
                Some((_, bound, more)) if (*more && value < bound) || (!more && value > bound) => {
                    (bound.to_string(), "  over")
                }
                Some((_, bound, _)) => (bound.to_string(), ""),
                None => (String::new(), ""),
            };
            println!("{key:<34} {value:>12.3} {bound:>12}{verdict}");
        }
        for key in self.list_missing() {
            println!("{key:<34} {:>12}", "not measured");
        }
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let directory = path.parent().context("the report has no directory")?;
        fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
        let figures: Map<_, _> =
            self.figures.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        let mut whole = figures;
        whole.insert("not_measured".to_owned(), json!(self.list_missing().collect::<Vec<_>>()));
        whole.insert("failed".to_owned(), json!(self.failed.iter().cloned().collect::<BTreeMap<_, _>>()));
        whole.insert("details".to_owned(), Value::Object(self.details.clone()));
        fs::write(path, serde_json::to_string_pretty(&whole)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
        println!("\nwritten to {}", path.display());
        Ok(())
    }
}

/// Prints a distribution in one line: minimum, median, 95th percentile, maximum.
pub(crate) fn print_distribution(name: &str, values: &[f64], unit: &str) {
    let at = |share: f64| percentile(values, share);
    println!(
        "{name:<34} n={:<4} min {:>7.0}  p50 {:>7.0}  p95 {:>7.0}  max {:>7.0} {unit}",
        values.len(),
        at(0.0),
        at(0.5),
        at(0.95),
        at(1.0)
    );
}

/// Returns a percentile by the nearest-rank method, or NaN without values.
pub(crate) fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (1..=sorted.len()).find(|rank| ratio(*rank, sorted.len()) >= share).unwrap_or(sorted.len());
    rank.checked_sub(1).and_then(|index| sorted.get(index)).copied().unwrap_or(f64::NAN)
}

/// Returns the quotient of two counts, or zero if `whole` is zero.
pub(crate) fn ratio(part: usize, whole: usize) -> f64 {
    let float = |count: usize| u32::try_from(count).map_or(f64::from(u32::MAX), f64::from);
    if whole == 0 { 0.0 } else { float(part) / float(whole) }
}
