//! What a headless node costs: memory, processor time, traffic.

use crate::report::{Report, ratio};
use anyhow::{Context, Result};
use std::{fs, time::Duration};
use tokio::time::{Instant, sleep};
use vpnsentinel_tests::{World, WorldSpec};

/// Linux counts processor time in hundredths of a second towards user space (proc(5), USER_HZ).
const TICKS_PER_SECOND: f64 = 100.0;

pub(crate) async fn measure(minutes: u32, report: &mut Report) -> Result<()> {
    let nodes = ["vps", "home-server", "laptop"].map(str::to_owned).to_vec();
    let mut world = World::start(WorldSpec { nodes, ..WorldSpec::default() }).await?;
    let pid = world.node("laptop")?.process().id().context("the node has ended")?;
    // What start and pairing cost does not count.
    sleep(Duration::from_secs(20)).await;
    let (began, ticks) = (Instant::now(), ticks(pid)?);
    let bytes = traffic(&world).await?;
    println!("\nwatching a headless node with two own witnesses and three public services for {minutes} min");
    sleep(Duration::from_mins(u64::from(minutes))).await;
    let seconds = began.elapsed().as_secs_f64();
    let spent = (self::ticks(pid)? - ticks) / TICKS_PER_SECOND;
    report.figure("node_rss_mib", resident_kib(pid)? / 1024.0);
    report.figure("node_cpu_percent", spent / seconds * 100.0);
    let sent = traffic(&world).await? - bytes;
    report.figure("beacon_kib_per_hour", sent / 1024.0 / seconds * 3600.0);
    Ok(())
}

fn ticks(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the node has ended")?;
    // The program's name, in parentheses, may contain anything.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |index: usize| {
        fields.get(index).and_then(|text| text.parse::<f64>().ok()).context("an odd /proc/pid/stat")
    };
    Ok(field(11)? + field(12)?)
}

fn resident_kib(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the node has ended")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    line.trim().trim_end_matches(" kB").parse().context("an odd VmRSS")
}

/// Bytes through the STUN port between the laptop and the VPS, both ways, so far.
async fn traffic(world: &World) -> Result<f64> {
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
    let all: usize = bytes.context("nft counts nothing")?.parse()?;
    // Two subjects, the laptop and the home server, talk to this witness alike.
    Ok(ratio(all, 2))
}
