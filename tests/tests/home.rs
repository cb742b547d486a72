//! Learning home, from a node without configuration to one that reports an exposure.
//!
//! Home is learned while the VPN is off. After a restart the node still expects the tunnel.

#![cfg(target_os = "linux")]

use anyhow::{Context, Result, ensure};
use sentinel_model::{Agreement, Command, ExitView, FindingKind, Home, Reply, Snapshot, Source, Verdict};
use std::{net::IpAddr, time::Duration};
use vpnsentinel_tests::{Fault, NodeApi, Resolver, World, WorldSpec, lab_test, plan};

/// Longest time from the start of a node to the end of a round.
const SETTLED: Duration = Duration::from_secs(45);
/// Longest time until a local change is reported; it usually takes far less.
const NOTICED: Duration = Duration::from_secs(10);

/// Starts a world in which home is not configured on the laptop, and the VPN is off.
async fn start_fresh_world() -> Result<World> {
    let config = "[cadence]\nround = \"5s\"\n";
    let spec = WorldSpec {
        nodes: ["vps", "home-server", "laptop"].map(str::to_owned).to_vec(),
        config: toml::from_str(config)?,
        fresh: true,
        ..WorldSpec::default()
    };
    World::start(spec).await
}

async fn fetch_home(api: &NodeApi) -> Result<Home> {
    match api.send_command(Command::ShowHome).await? {
        Reply::Home { home } => Ok(home),
        other => anyhow::bail!("no home in {other:?}"),
    }
}

/// Returns true if an exit has this address.
fn has_exit(snapshot: &Snapshot, address: IpAddr) -> bool {
    snapshot
        .shown
        .exits
        .iter()
        .any(|exit| exit.address.measured().is_some_and(|seen| seen.address == address))
}

/// Returns true if both of the user's other nodes see this machine at the address.
fn is_witnessed_at(snapshot: &Snapshot, address: IpAddr) -> bool {
    let voices = snapshot.shown.exits.iter().flat_map(|exit| &exit.voices);
    let own = voices.filter(|voice| matches!(voice.voice.source, Source::Node(_)));
    own.filter(|voice| voice.saw.measured().is_some_and(|seen| seen.address == address)).count() >= 2
}

fn has_finding(snapshot: &Snapshot, kind: FindingKind) -> bool {
    snapshot.shown.findings.iter().any(|finding| finding.kind == kind)
}

async fn wait_for_verdict(api: &NodeApi, what: &str, verdict: Verdict) -> Result<()> {
    api.wait_for(what, SETTLED, |snapshot| snapshot.shown.verdict.verdict == verdict).await.map(drop)
}

lab_test!(home_is_learned_while_the_vpn_is_off_and_its_exposure_is_reported_later, async {
    let mut world = start_fresh_world().await?;
    let api = world.node_api("laptop")?;
    let home = IpAddr::from(plan::HOME);
    api.wait_for("both nodes see the home line", SETTLED, |snapshot| is_witnessed_at(snapshot, home)).await?;
    ensure!(fetch_home(&api).await?.is_unknown(), "home must not be learned without a command");
    api.send_command(Command::LearnHome { confirmed: false }).await.context("home could not be learned")?;
    let learned = fetch_home(&api).await?;
    ensure!(learned.addresses == [home] && !learned.resolver_asns.is_empty(), "{learned:?}");
    let before = api.fetch_snapshot().await?.shown.verdict;
    ensure!(![Verdict::Protected, Verdict::Exposed].contains(&before.verdict), "{before:?}");

    world.inject(&Fault::TunnelRestored {}).await?;
    wait_for_verdict(&api, "the tunnel is up", Verdict::Protected).await?;
    // The ISP's resolver is recognised by its operator, although it is not configured.
    world.inject(&Fault::ResolverSwitched { to: Resolver::Isp }).await?;
    api.wait_for("the provider's resolver", NOTICED, |snapshot| has_finding(snapshot, FindingKind::DnsLeak))
        .await?;
    world.inject(&Fault::ResolverSwitched { to: Resolver::Vpn }).await?;
    wait_for_verdict(&api, "the resolver is back", Verdict::Protected).await?;
    world.inject(&Fault::TunnelRemoved {}).await?;
    api.wait_for("the tunnel is gone", NOTICED, |snapshot| has_finding(snapshot, FindingKind::ExitExposed))
        .await?;

    // After a restart an exposure must not look like a VPN that was never on.
    for fault in ["node-asleep node=laptop", "node-awake node=laptop"] {
        world.inject(&fault.parse()?).await?;
    }
    let api = world.node_api("laptop")?;
    wait_for_verdict(&api, "exposed after a restart", Verdict::Exposed).await?;
    ensure!(fetch_home(&api).await? == learned, "the learned home must survive a restart");
    Ok(())
});

lab_test!(home_is_learned_while_a_tunnel_is_up_only_if_confirmed, async {
    let mut world = start_fresh_world().await?;
    world.inject(&Fault::TunnelRestored {}).await?;
    let api = world.node_api("laptop")?;
    api.wait_for("the tunnel's exit", SETTLED, |snapshot| has_exit(snapshot, plan::VPN_EXIT.into())).await?;
    api.wait_for("two voices", SETTLED, |snapshot| {
        let agrees = |exit: &ExitView| {
            exit.voices.iter().filter(|voice| voice.agreement == Agreement::Agrees).count() >= 2
        };
        snapshot.shown.exits.iter().any(agrees)
    })
    .await?;
    let unconfirmed = Command::LearnHome { confirmed: false };
    let refused = api.send_command(unconfirmed).await.expect_err("the tunnel's exit is not home");
    ensure!(refused.to_string().contains("wg0"), "{refused}");
    ensure!(fetch_home(&api).await?.is_unknown());
    api.send_command(Command::LearnHome { confirmed: true }).await.context("the person's word counts")?;
    ensure!(fetch_home(&api).await?.addresses.contains(&plan::VPN_EXIT.into()));
    Ok(())
});
