//! From a fault to the published verdict, over many runs in one world.

use crate::report::{Report, percentile, spread};
use anyhow::{Context, Result};
use sentinel_model::{FindingKind, IpNet, Snapshot, Verdict};
use serde_json::json;
use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use vpnsentinel_tests::{
    AnswersOf, Arrived, Change, Extra, Fault, Forwarding, Interceptor, Lie, Port53, Resolver, World,
    WorldSpec, plan,
};

/// Everything that is measured comes to its end within this, or something is broken.
const PATIENCE: Duration = Duration::from_mins(1);
/// Short enough to be patient with, long enough that a round has ended before the next.
const ROUND: Duration = Duration::from_secs(5);

/// What shows that a fault was noticed.
#[derive(Clone, Copy)]
enum Sign {
    /// The verdict.
    Exposed,
    /// A finding, whatever the verdict.
    Finding(FindingKind),
}

impl Sign {
    fn is_shown(self, snapshot: &Snapshot) -> bool {
        match self {
            Self::Exposed => snapshot.shown.verdict.verdict == Verdict::Exposed,
            Self::Finding(kind) => snapshot.shown.findings.iter().any(|finding| finding.kind == kind),
        }
    }
}

/// A fault, what mends it, what shows it, and the budget it counts towards.
struct Subject {
    name: &'static str,
    fault: Fault,
    mend: Fault,
    sign: Sign,
    key: Option<&'static str>,
}

/// What changes on this machine or is told by every beacon: found without waiting for a round.
fn at_once() -> Result<Vec<Subject>> {
    let exposed = |name, fault, mend, key| Subject { name, fault, mend, sign: Sign::Exposed, key };
    let prefix = "192.0.2.0/24".parse().context("a constant prefix")?;
    let route = |change| Fault::RouteOutside { prefix, change };
    let rule = |change| Fault::PolicyRule { prefix: None, change };
    let ipv6 = |change| Fault::Ipv6DefaultRoute { change };
    let resolver = |to| Fault::ResolverSwitched { to };
    let local = Some("detect_local_p95_ms");
    let silent = Some("detect_silent_exit_p95_ms");
    Ok(vec![
        exposed("tunnel-removed", Fault::TunnelRemoved {}, Fault::TunnelRestored {}, local),
        exposed("exit-becomes-home", Fault::ExitBecomesHome {}, Fault::ExitBack {}, silent),
        exposed("resolver-switched to=router", resolver(Resolver::Router), resolver(Resolver::Vpn), local),
        exposed("ipv6-default-route", ipv6(Change::Add), ipv6(Change::Remove), local),
        exposed("route-outside", route(Change::Add), route(Change::Remove), local),
        exposed("policy-rule", rule(Change::Add), rule(Change::Remove), local),
    ])
}

/// What only a round can tell.
fn by_rounds() -> Vec<Subject> {
    let subject =
        |name, fault, mend, kind, key| Subject { name, fault, mend, sign: Sign::Finding(kind), key };
    let intercepted =
        |change| Fault::DnsIntercepted { by: Interceptor::Isp, transport: Port53::Both, change };
    let falsified = |change| Fault::AnswersFalsified {
        at: Resolver::Vpn,
        names: AnswersOf::Many,
        with: Lie::Bogon,
        change,
    };
    let forwards = |to| Fault::ResolverForwards { to };
    vec![
        subject(
            "dns-intercepted by=isp",
            intercepted(Change::Add),
            intercepted(Change::Remove),
            FindingKind::DnsInterception,
            Some("detect_interception_rounds"),
        ),
        subject(
            "answers-falsified with=bogon",
            falsified(Change::Add),
            falsified(Change::Remove),
            FindingKind::DnsTampering,
            None,
        ),
        subject(
            "resolver-forwards to=third-party",
            forwards(Forwarding::ThirdParty),
            forwards(Forwarding::Itself),
            FindingKind::DnsForeignResolver,
            None,
        ),
    ]
}

pub(crate) async fn measure(runs: u32, report: &mut Report) -> Result<()> {
    println!(
        "\nfault to published verdict, {runs} runs each, round trip to the VPS through the tunnel 40 ms"
    );
    let nodes = ["vps", "home-server", "laptop"].map(str::to_owned).to_vec();
    // So that a policy rule is all that moves when it comes.
    let with = [Extra::SecondTable].into();
    let standard = WorldSpec { nodes: nodes.clone(), with, ..WorldSpec::default() };
    let mut budgets: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    play(standard, at_once()?, runs, "ms", 1.0, &mut budgets, report).await?;
    // A tenth of the runs, since each takes two rounds and more.
    let runs = runs.div_ceil(10).max(3);
    println!("fault to finding, {runs} runs each, in rounds of {} ms", ROUND.as_millis());
    let config = toml::from_str(&format!("[cadence]\nround = \"{}ms\"\n", ROUND.as_millis()))?;
    let resolver = IpNet::from(IpAddr::from(plan::PUBLIC_RESOLVER));
    let with = [Extra::EncryptedDns, Extra::SecondResolver].into();
    let watched = WorldSpec { nodes, config, with, bypass: vec![resolver], ..WorldSpec::default() };
    let round = ROUND.as_secs_f64() * 1000.0;
    play(watched, by_rounds(), runs, "rounds", round, &mut budgets, report).await?;
    for (key, delays) in budgets {
        report.figure(key, percentile(&delays, 0.95));
    }
    Ok(())
}

/// Lets every subject happen so many times in one world. `unit` is so many milliseconds.
async fn play(
    spec: WorldSpec,
    subjects: Vec<Subject>,
    runs: u32,
    unit: &str,
    millis: f64,
    budgets: &mut BTreeMap<&'static str, Vec<f64>>,
    report: &mut Report,
) -> Result<()> {
    let mut world = World::start(spec).await?;
    let mut events = world.node_api("laptop")?.events();
    for subject in subjects {
        let mut delays = Vec::new();
        for run in 0..runs {
            until(&mut events, "Protected before the fault", |snapshot| {
                snapshot.shown.verdict.verdict == Verdict::Protected && !subject.sign.is_shown(snapshot)
            })
            .await
            .with_context(|| world.logs(20))?;
            // Faults must meet the beacon at every phase.
            sleep(Duration::from_millis(1500 + u64::from(run * 379 % 1000))).await;
            while events.try_recv().is_ok() {}
            let began = Instant::now();
            world.inject(&subject.fault).await?;
            let found = until(&mut events, subject.name, |snapshot| subject.sign.is_shown(snapshot)).await?;
            delays.push(found.at.saturating_duration_since(began).as_secs_f64() * 1000.0 / millis);
            world.inject(&subject.mend).await?;
        }
        spread(subject.name, &delays, unit);
        report.detail(&format!("detect {}", subject.name), json!(delays));
        if let Some(key) = subject.key {
            budgets.entry(key).or_default().extend(delays);
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
            last = Some(arrived.snapshot.shown.verdict);
        }
    })
    .await
    .unwrap_or_else(|_| Err(anyhow::anyhow!("not within {PATIENCE:?}: {what}; the verdict is {last:?}")))
}
