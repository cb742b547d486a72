//! The resources that a headless node uses: memory, processor time, traffic.

use crate::report::{Report, ratio};
use anyhow::{Context, Result};
use std::{fs, time::Duration};
use tokio::time::{Instant, sleep};
use vpnsentinel_tests::{World, WorldSpec};

/// The unit in which Linux reports processor time to user space (proc(5), USER_HZ).
const TICKS_PER_SECOND: f64 = 100.0;

pub(crate) async fn measure(minutes: u32, report: &mut Report) -> Result<()> {
    let nodes = ["vps", "home-server", "laptop"].map(str::to_owned).to_vec();
    let mut world = World::start(WorldSpec { nodes, ..WorldSpec::default() }).await?;
    let pid = world.node("laptop")?.process().id().context("the node has ended")?;
    // Start and pairing do not count.
    sleep(Duration::from_secs(20)).await;
    let (began, ticks) = (Instant::now(), read_ticks(pid)?);
    let bytes = read_traffic(&world).await?;
    println!("\nwatching a headless node with two own witnesses and three public services for {minutes} min");
    sleep(Duration::from_mins(u64::from(minutes))).await;
    let seconds = began.elapsed().as_secs_f64();
    let spent = (read_ticks(pid)? - ticks) / TICKS_PER_SECOND;
    report.add_figure("node_rss_mib", read_resident_kib(pid)? / 1024.0);
    report.add_figure("node_cpu_percent", spent / seconds * 100.0);
    let sent = read_traffic(&world).await? - bytes;
    report.add_figure("beacon_kib_per_hour", sent / 1024.0 / seconds * 3600.0);
    Ok(())
}

/// Returns the processor time of a process so far, in ticks.
fn read_ticks(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the node has ended")?;
    // The program's name, in parentheses, may contain any character.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |index: usize| {
        fields
            .get(index)
            .and_then(|text| text.parse::<f64>().ok())
            .context("/proc/PID/stat has an unknown format")
    };
    Ok(field(11)? + field(12)?)
}

fn read_resident_kib(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the node has ended")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("/proc/PID/status has no VmRSS")?;
    line.trim().trim_end_matches(" kB").parse().context("VmRSS is not a number")
}

/// Returns the bytes exchanged with the VPS's STUN port so far, in both directions, per subject.
///
/// The first call installs the counter and returns zero.
async fn read_traffic(world: &World) -> Result<f64> {
    let vps = world.host("vps")?;
    let counted = vps.output("nft", &["list", "counters"], "").await.unwrap_or_default();
    if !counted.contains("counter beacon") {
        let port = vpnsentinel_tests::plan::STUN_PORT;
        let rules = format!(
            "table inet bench {{\n counter beacon {{ packets 0 bytes 0 }}\n \
             chain in {{ type filter hook input priority 0; udp dport {port} counter name beacon; }}\n \
             chain out {{ type filter hook output priority 0; udp sport {port} counter name beacon; }}\n}}\n"
        );
        vps.output("nft", &["-f", "-"], &rules).await?;
        return Ok(0.0);
    }
    let bytes = counted.split("bytes ").nth(1).and_then(|text| text.split_whitespace().next());
    let all: usize = bytes.context("nft lists no counter")?.parse()?;
    // Two subjects, the laptop and the home server, use this witness equally.
    Ok(ratio(all, 2))
}
