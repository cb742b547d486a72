//! Measures the budgets of the design and writes `target/bench/report.json`.

#[cfg(target_os = "linux")]
mod alternatives;
#[cfg(target_os = "linux")]
mod calm;
#[cfg(target_os = "linux")]
mod dashboard;
#[cfg(target_os = "linux")]
mod detection;
#[cfg(target_os = "linux")]
mod latency;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod node;
#[cfg(target_os = "linux")]
mod report;
#[cfg(target_os = "linux")]
mod round;
#[cfg(target_os = "linux")]
mod tray;

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<()> {
    linux::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("skipped: the bench runs in the network lab, which needs Linux namespaces");
}
