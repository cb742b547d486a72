//! From a program that knows nothing to one that guards the home line: home is learned while the
//! VPN is off, and a tunnel that was once in use is missed after a restart.

#![cfg(target_os = "linux")]

use anyhow::{Context, Result, ensure};
use sentinel_model::{Command, FindingKind, Home, Reply, Snapshot, Source, Verdict};
use std::{net::IpAddr, time::Duration};
use vpnsentinel_tests::{Fault, NodeApi, Resolver, World, WorldSpec, lab_test, plan};

/// Longer than it takes from a start to the end of a round.
const SETTLED: Duration = Duration::from_secs(45);
/// Far more than it takes to notice anything local.
const NOTICED: Duration = Duration::from_secs(10);

/// A laptop whose user has typed nothing about the home line, and whose VPN is off.
async fn fresh_world() -> Result<World> {
    let config = "[cadence]\nround = \"5s\"\n";
    let spec = WorldSpec {
        nodes: ["vps", "home-server", "laptop"].map(str::to_owned).to_vec(),
        config: toml::from_str(config)?,
        fresh: true,
        ..WorldSpec::default()
    };
    World::start(spec).await
}

async fn home_of(api: &NodeApi) -> Result<Home> {
    match api.send_command(Command::ShowHome).await? {
        Reply::Home { home } => Ok(home),
        other => anyhow::bail!("no home in {other:?}"),
    }
}

fn sees(snapshot: &Snapshot, address: IpAddr) -> bool {
    snapshot
        .shown
        .exits
        .iter()
        .any(|exit| exit.address.measured().is_some_and(|seen| seen.address == address))
}

/// Both of the user's nodes see this machine there.
fn witnessed(snapshot: &Snapshot, address: IpAddr) -> bool {
    let voices = snapshot.shown.exits.iter().flat_map(|exit| &exit.voices);
    let own = voices.filter(|voice| matches!(voice.voice.source, Source::Node(_)));
    own.filter(|voice| voice.saw.measured().is_some_and(|seen| seen.address == address)).count() >= 2
}

fn finds(snapshot: &Snapshot, kind: FindingKind) -> bool {
    snapshot.shown.findings.iter().any(|finding| finding.kind == kind)
}

async fn wait_for(api: &NodeApi, what: &str, verdict: Verdict) -> Result<()> {
    api.wait_for(what, SETTLED, |snapshot| snapshot.shown.verdict.verdict == verdict).await.map(drop)
}

lab_test!(home_is_learned_while_the_vpn_is_off_and_guarded_from_then_on, async {
    let mut world = fresh_world().await?;
    let api = world.node_api("laptop")?;
    let home = IpAddr::from(plan::HOME);
    api.wait_for("everybody sees the home line", SETTLED, |snapshot| witnessed(snapshot, home)).await?;
    ensure!(home_of(&api).await?.is_unknown(), "nobody has asked for it yet");
    api.send_command(Command::LearnHome).await.context("home could not be learned")?;
    let learned = home_of(&api).await?;
    ensure!(learned.addresses == [home] && !learned.resolver_asns.is_empty(), "{learned:?}");
    let before = api.fetch_snapshot().await?.shown.verdict;
    ensure!(![Verdict::Protected, Verdict::Exposed].contains(&before.verdict), "{before:?}");

    world.inject(&Fault::TunnelRestored {}).await?;
    wait_for(&api, "the tunnel is up", Verdict::Protected).await?;
    // The home provider's resolver is known by its operator, though nobody named it.
    world.inject(&Fault::ResolverSwitched { to: Resolver::Isp }).await?;
    api.wait_for("the provider's resolver", NOTICED, |snapshot| finds(snapshot, FindingKind::DnsLeak))
        .await?;
    world.inject(&Fault::ResolverSwitched { to: Resolver::Vpn }).await?;
    wait_for(&api, "the resolver is back", Verdict::Protected).await?;
    world.inject(&Fault::TunnelRemoved {}).await?;
    api.wait_for("the tunnel is gone", NOTICED, |snapshot| finds(snapshot, FindingKind::ExitExposed)).await?;

    // A restart makes no exposure a VPN that was never on.
    for fault in ["node-asleep node=laptop", "node-awake node=laptop"] {
        world.inject(&fault.parse()?).await?;
    }
    let api = world.node_api("laptop")?;
    wait_for(&api, "exposed after a restart", Verdict::Exposed).await?;
    ensure!(home_of(&api).await? == learned, "what was learned is kept");
    Ok(())
});

lab_test!(while_a_tunnel_is_up_nothing_is_taken_for_home, async {
    let mut world = fresh_world().await?;
    world.inject(&Fault::TunnelRestored {}).await?;
    let api = world.node_api("laptop")?;
    api.wait_for("the tunnel's exit", SETTLED, |snapshot| sees(snapshot, plan::VPN_EXIT.into())).await?;
    let refused = api.send_command(Command::LearnHome).await.expect_err("the tunnel's exit is not home");
    ensure!(refused.to_string().contains("wg0"), "{refused}");
    ensure!(home_of(&api).await?.is_unknown());
    Ok(())
});
