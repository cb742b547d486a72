//! The duration of a full round, compared with its slowest necessary sequence of round trips.

use crate::report::{Report, percentile, print_distribution};
use anyhow::{Context, Result};
use sentinel_model::{Command, Verdict};
use serde_json::json;
use std::time::Duration;
use tokio::time::sleep;
use vpnsentinel_tests::{World, WorldSpec, plan};

/// Longest time until the nodes have started and the verdict is Protected.
const PATIENCE: Duration = Duration::from_mins(1);
/// Number of rounds before those that count. They fill the resolvers' caches, as on a machine in
/// use.
const WARM_UP: u32 = 3;
/// Pause between rounds. After a shorter one a round queries fewer public services, and routers
/// answer one probe per second.
const PAUSE: Duration = Duration::from_secs(5);

/// Exchanges that depend on each other, followed by a time of listening.
struct ExchangeChain {
    name: &'static str,
    /// The hosts of the exchanges, each of which takes one round trip through the tunnel.
    hosts: &'static [&'static str],
    /// Time to wait for further answers after the last exchange.
    listening: Duration,
}

const NONE: Duration = Duration::ZERO;

/// The chains of a round in which every name is cached, except those in the canary zone.
///
/// All other checks of a round need one exchange at most. TLS 1.3 (RFC 8446) takes one round trip.
const CHAINS: [ExchangeChain; 4] = [
    // A query to the VPN's resolver; then TCP, TLS and HTTP with the service.
    ExchangeChain { name: "HTTPS echo", hosts: &["vpn", "echo", "echo", "echo"], listening: NONE },
    // The VPN's resolver queries the canary zone's server, which takes as long as a direct query.
    ExchangeChain { name: "resolver identity", hosts: &["vps"], listening: NONE },
    // The public resolver answers from its cache.
    ExchangeChain { name: "answers", hosts: &["public-dns"], listening: NONE },
    // A forged answer is revealed by the real one, which may arrive this much later.
    ExchangeChain { name: "interception", hosts: &["public-dns"], listening: Duration::from_millis(250) },
];

impl ExchangeChain {
    /// Returns the least duration in milliseconds.
    fn least_millis(&self) -> Result<f64> {
        let trips = self.hosts.iter().map(|host| {
            let trip = plan::tunnel_round_trip(host)
                .with_context(|| format!("{host} is not attached to the Internet"))?;
            Ok(trip.as_secs_f64() * 1000.0)
        });
        let trips: f64 = trips.sum::<Result<f64>>()?;
        Ok(trips + self.listening.as_secs_f64() * 1000.0)
    }
}

pub(crate) async fn measure(rounds: u32, report: &mut Report) -> Result<()> {
    let mut slowest = 0.0_f64;
    println!("\n{rounds} full rounds; their necessary sequences of round trips:");
    for chain in CHAINS {
        let millis = chain.least_millis()?;
        println!("  {:<32} {millis:>7.1} ms", chain.name);
        slowest = slowest.max(millis);
    }
    let nodes = ["vps", "home-server", "laptop"].map(str::to_owned).to_vec();
    let world = World::start(WorldSpec { nodes, ..WorldSpec::default() }).await?;
    let api = world.node_api("laptop")?;
    let protected = api.wait_for("Protected before the rounds", PATIENCE, |snapshot| {
        snapshot.shown.verdict.verdict == Verdict::Protected
    });
    protected.await.with_context(|| world.logs(20))?;
    let mut took = Vec::new();
    for round in 0..WARM_UP + rounds {
        sleep(PAUSE).await;
        api.send_command(Command::CheckNow).await?;
        let last = api.fetch_snapshot().await?.schedule.last_round_took.context("no round has ended")?;
        if round >= WARM_UP {
            took.push(last.duration().as_secs_f64() * 1000.0);
        }
    }
    print_distribution("full round", &took, "ms");
    report.add_detail("round_over_floor", json!({ "floor_ms": slowest, "rounds_ms": took }));
    report.add_figure("round_over_floor", percentile(&took, 0.5) / slowest);
    Ok(())
}
