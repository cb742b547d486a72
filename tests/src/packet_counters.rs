//! Counters for the packets that the laptop sends to certain hosts.
//!
//! With them a scenario can require that the laptop sends none.

use crate::{host::Host, plan, world::WorldSpec};
use anyhow::{Context, Result, ensure};
use std::{fmt::Write as _, net::IpAddr};

/// Starts the counters for the hosts that the world's specification names.
///
/// The rules see the laptop's own packets before they are encapsulated in the tunnel.
pub(crate) async fn install_counters(laptop: &Host, spec: &WorldSpec) -> Result<()> {
    if spec.counted.is_empty() {
        return Ok(());
    }
    let (mut counters, mut rules) = (String::new(), String::new());
    let attachments = plan::attachments(&spec.with);
    for name in &spec.counted {
        let attachment = attachments.iter().find(|attachment| attachment.host == *name);
        let attachment = attachment.with_context(|| format!("{name} is not attached to the Internet"))?;
        writeln!(counters, "counter {name} {{}}")?;
        for address in &attachment.addresses {
            let family = if matches!(address, IpAddr::V4(_)) { "ip" } else { "ip6" };
            writeln!(rules, "{family} daddr {address} counter name {name}")?;
        }
    }
    let table = format!(
        "table inet counted {{\n{counters}chain output {{\ntype filter hook output priority filter\n{rules}}}\n}}\n"
    );
    laptop.output("nft", &["-f", "-"], &table).await.map(drop)
}

/// Returns the number of packets that the laptop has sent to a host.
///
/// # Errors
/// Fails if the packets to that host are not counted.
pub(crate) async fn read_counter(laptop: &Host, name: &str) -> Result<u64> {
    let output = laptop.output("nft", &["list", "counter", "inet", "counted", name], "").await?;
    let mut words = output.split_whitespace().skip_while(|word| *word != "packets");
    ensure!(words.next().is_some(), "no counter in: {output}");
    words.next().and_then(|count| count.parse().ok()).with_context(|| format!("no count in: {output}"))
}
