//! From a fault to the published verdict, over many runs in one world.

use crate::report::{Report, percentile, spread};
use anyhow::{Context, Result};
use sentinel_model::{Snapshot, Verdict};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use vpnsentinel_tests::{Arrived, Change, Fault, Resolver, World, WorldSpec};

/// Everything that is measured comes to its end within this, or something is broken.
const PATIENCE: Duration = Duration::from_mins(1);

/// A fault, what mends it, and the budget it counts towards.
struct Subject {
    name: &'static str,
    fault: Fault,
    mend: Fault,
    key: Option<&'static str>,
}

fn subjects() -> [Subject; 4] {
    let subject = |name, fault, mend, key| Subject { name, fault, mend, key };
    [
        subject(
            "tunnel-removed",
            Fault::TunnelRemoved {},
            Fault::TunnelRestored {},
            Some("detect_local_p95_ms"),
        ),
        subject(
            "exit-becomes-home",
            Fault::ExitBecomesHome {},
            Fault::ExitBack {},
            Some("detect_silent_exit_p95_ms"),
        ),
        subject(
            "resolver-switched to=router",
            Fault::ResolverSwitched { to: Resolver::Router },
            Fault::ResolverSwitched { to: Resolver::Vpn },
            None,
        ),
        subject(
            "ipv6-default-route",
            Fault::Ipv6DefaultRoute { change: Change::Add },
            Fault::Ipv6DefaultRoute { change: Change::Remove },
            None,
        ),
    ]
}

pub(crate) async fn measure(runs: u32, report: &mut Report) -> Result<()> {
    println!(
        "\nfault to published verdict, {runs} runs each, round trip to the VPS through the tunnel 40 ms"
    );
    let nodes = ["vps", "home-server", "laptop"].map(str::to_owned).to_vec();
    let mut world = World::start(WorldSpec { nodes, ..WorldSpec::default() }).await?;
    let mut events = world.node_api("laptop")?.events();
    for subject in subjects() {
        let mut delays = Vec::new();
        for run in 0..runs {
            until(&mut events, "Protected before the fault", |snapshot| {
                snapshot.verdict.verdict == Verdict::Protected
            })
            .await
            .with_context(|| world.logs(20))?;
            // Faults must meet the beacon at every phase.
            sleep(Duration::from_millis(1500 + u64::from(run * 379 % 1000))).await;
            while events.try_recv().is_ok() {}
            let began = Instant::now();
            world.inject(&subject.fault).await?;
            let found =
                until(&mut events, subject.name, |snapshot| snapshot.verdict.verdict == Verdict::Exposed)
                    .await?;
            delays.push(found.at.saturating_duration_since(began).as_secs_f64() * 1000.0);
            world.inject(&subject.mend).await?;
        }
        spread(subject.name, &delays, "ms");
        report.detail(&format!("detect {}", subject.name), json!(delays));
        if let Some(key) = subject.key {
            report.figure(key, percentile(&delays, 0.95));
        }
    }
    Ok(())
}

async fn until(
    events: &mut mpsc::Receiver<Result<Arrived>>,
    what: &str,
    condition: impl Fn(&Snapshot) -> bool,
) -> Result<Arrived> {
    let mut last = None;
    timeout(PATIENCE, async {
        loop {
            let arrived = events.recv().await.context("the node went away")??;
            if condition(&arrived.snapshot) {
                return Ok(arrived);
            }
            last = Some(arrived.snapshot.verdict);
        }
    })
    .await
    .unwrap_or_else(|_| Err(anyhow::anyhow!("not within {PATIENCE:?}: {what}; the verdict is {last:?}")))
}
