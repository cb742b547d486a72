//! How long a full round takes, beside the slowest chain of round trips it cannot do without.

use crate::report::{Report, percentile, spread};
use anyhow::{Context, Result};
use sentinel_model::{Command, Verdict};
use serde_json::json;
use std::time::Duration;
use tokio::time::sleep;
use vpnsentinel_tests::{World, WorldSpec, plan};

/// Everything has started and every node knows the others within this.
const PATIENCE: Duration = Duration::from_mins(1);
/// Rounds before those that count: they fill the resolvers' caches, as they are on any machine in use.
const WARM_UP: u32 = 3;
/// Rounds that follow each other more closely spare public services, and routers answer them one probe a second.
const PAUSE: Duration = Duration::from_secs(5);

/// Exchanges that can only happen one after the other, each a round trip to that host through the tunnel, and how long
/// has to be listened after the last.
struct Chain {
    name: &'static str,
    hosts: &'static [&'static str],
    listening: Duration,
}

const NOT_AT_ALL: Duration = Duration::ZERO;

/// The chains a round is made of, with every name but the canary's in the caches. Everything else in a round is one
/// exchange, or none. TLS is 1.3 (RFC 8446): one round trip.
const CHAINS: [Chain; 4] = [
    // The name at the VPN's resolver; then TCP, TLS, HTTP with the service.
    Chain { name: "HTTPS echo", hosts: &["vpn", "echo", "echo", "echo"], listening: NOT_AT_ALL },
    // The VPN's resolver has to ask the canary's own server: as far as asking that server itself.
    Chain { name: "resolver identity", hosts: &["vps"], listening: NOT_AT_ALL },
    // The public resolver asks nobody.
    Chain { name: "answers", hosts: &["public-dns"], listening: NOT_AT_ALL },
    // A forged answer is told by the true one, which may come so much later.
    Chain { name: "interception", hosts: &["public-dns"], listening: Duration::from_millis(250) },
];

impl Chain {
    fn millis(&self) -> Result<f64> {
        let trips = self.hosts.iter().map(|host| {
            let trip = plan::tunnel_round_trip(host).with_context(|| format!("no way to {host}"))?;
            Ok(trip.as_secs_f64() * 1000.0)
        });
        let trips: f64 = trips.sum::<Result<f64>>()?;
        Ok(trips + self.listening.as_secs_f64() * 1000.0)
    }
}

pub(crate) async fn measure(rounds: u32, report: &mut Report) -> Result<()> {
    let mut slowest = 0.0_f64;
    println!("\nfull rounds, {rounds} of them; what they cannot do without:");
    for chain in CHAINS {
        let millis = chain.millis()?;
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
        api.command(Command::CheckNow).await?;
        let last = api.snapshot().await?.schedule.last_round_took.context("no round has ended")?;
        if round >= WARM_UP {
            took.push(last.duration().as_secs_f64() * 1000.0);
        }
    }
    spread("full round", &took, "ms");
    report.detail("round_over_floor", json!({ "floor_ms": slowest, "rounds_ms": took }));
    report.figure("round_over_floor", percentile(&took, 0.5) / slowest);
    Ok(())
}
