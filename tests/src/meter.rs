//! Counts what the laptop sends to some hosts, so that a story can say: not one packet.

use crate::{host::Host, plan, world::WorldSpec};
use anyhow::{Context, Result, ensure};
use std::{fmt::Write as _, net::IpAddr};

/// Starts counting for every host the world's specification names. Whatever the laptop itself makes is seen before it is
/// wrapped into a tunnel.
pub(crate) async fn install(laptop: &Host, spec: &WorldSpec) -> Result<()> {
    if spec.counted.is_empty() {
        return Ok(());
    }
    let (mut counters, mut rules) = (String::new(), String::new());
    let attachments = plan::attachments(&spec.with);
    for name in &spec.counted {
        let attachment = attachments.iter().find(|attachment| attachment.host == *name);
        let attachment = attachment.with_context(|| format!("{name} is no host on the Internet"))?;
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

/// How many packets have been sent to a host.
///
/// # Errors
/// It is not counted.
pub(crate) async fn read(laptop: &Host, name: &str) -> Result<u64> {
    let said = laptop.output("nft", &["list", "counter", "inet", "counted", name], "").await?;
    let mut words = said.split_whitespace().skip_while(|word| *word != "packets");
    ensure!(words.next().is_some(), "no counter in: {said}");
    words.next().and_then(|count| count.parse().ok()).with_context(|| format!("no count in: {said}"))
}
