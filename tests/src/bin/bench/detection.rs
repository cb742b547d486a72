//! The time from a fault to the published verdict, over many runs in one world.

use crate::report::{Report, percentile, print_distribution};
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
    Change, DnsTransport, Extra, Falsification, FalsifiedNames, Fault, ForwardTarget, Interceptor,
    ReceivedSnapshot, Resolver, World, WorldSpec, plan,
};

/// Longest time until a fault is reported or has ended; more means that something is broken.
const PATIENCE: Duration = Duration::from_mins(1);
/// Interval between rounds: short for the sake of the bench, but longer than a round takes.
const ROUND: Duration = Duration::from_secs(5);

/// The part of a snapshot that shows that a fault was detected.
#[derive(Clone, Copy)]
enum Evidence {
    /// The verdict Exposed.
    Exposed,
    /// A finding, with any verdict.
    Finding(FindingKind),
}

impl Evidence {
    fn is_shown(self, snapshot: &Snapshot) -> bool {
        match self {
            Self::Exposed => snapshot.shown.verdict.verdict == Verdict::Exposed,
            Self::Finding(kind) => snapshot.shown.findings.iter().any(|finding| finding.kind == kind),
        }
    }
}

/// A fault, its reversal, the evidence of its detection, and the budget it counts towards.
struct FaultCase {
    name: &'static str,
    fault: Fault,
    reversal: Fault,
    evidence: Evidence,
    budget: Option<&'static str>,
}

/// Returns the faults that are detected without a round: local changes, and what beacons report.
fn immediate_cases() -> Result<Vec<FaultCase>> {
    let exposed = |name, fault, reversal, budget| FaultCase {
        name,
        fault,
        reversal,
        evidence: Evidence::Exposed,
        budget,
    };
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

/// Returns the faults that only a round detects.
fn round_cases() -> Vec<FaultCase> {
    let case = |name, fault, reversal, kind, budget| FaultCase {
        name,
        fault,
        reversal,
        evidence: Evidence::Finding(kind),
        budget,
    };
    let intercepted =
        |change| Fault::DnsIntercepted { by: Interceptor::Isp, transport: DnsTransport::Both, change };
    let falsified = |change| Fault::AnswersFalsified {
        at: Resolver::Vpn,
        names: FalsifiedNames::Many,
        with: Falsification::Bogon,
        change,
    };
    let forwards = |to| Fault::ResolverForwards { to };
    vec![
        case(
            "dns-intercepted by=isp",
            intercepted(Change::Add),
            intercepted(Change::Remove),
            FindingKind::DnsInterception,
            Some("detect_interception_rounds"),
        ),
        case(
            "answers-falsified with=bogon",
            falsified(Change::Add),
            falsified(Change::Remove),
            FindingKind::DnsTampering,
            None,
        ),
        case(
            "resolver-forwards to=third-party",
            forwards(ForwardTarget::ThirdParty),
            forwards(ForwardTarget::Itself),
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
    // With the second table only the rule changes when a policy rule is injected.
    let with = [Extra::SecondTable].into();
    let standard = WorldSpec { nodes: nodes.clone(), with, ..WorldSpec::default() };
    let mut budgets: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    measure_cases(standard, immediate_cases()?, runs, "ms", 1.0, &mut budgets, report).await?;
    // A tenth of the runs, because each takes two rounds or more.
    let runs = runs.div_ceil(10).max(3);
    println!("fault to finding, {runs} runs each, in rounds of {} ms", ROUND.as_millis());
    let config = toml::from_str(&format!("[cadence]\nround = \"{}ms\"\n", ROUND.as_millis()))?;
    let resolver = IpNet::from(IpAddr::from(plan::PUBLIC_RESOLVER));
    let with = [Extra::EncryptedDns, Extra::SecondResolver].into();
    let watched = WorldSpec { nodes, config, with, bypass: vec![resolver], ..WorldSpec::default() };
    let round = ROUND.as_secs_f64() * 1000.0;
    measure_cases(watched, round_cases(), runs, "rounds", round, &mut budgets, report).await?;
    for (key, delays) in budgets {
        report.add_figure(key, percentile(&delays, 0.95));
    }
    Ok(())
}

/// Injects every fault `runs` times in one world. A `unit` of the results is `millis` long.
async fn measure_cases(
    spec: WorldSpec,
    cases: Vec<FaultCase>,
    runs: u32,
    unit: &str,
    millis: f64,
    budgets: &mut BTreeMap<&'static str, Vec<f64>>,
    report: &mut Report,
) -> Result<()> {
    let mut world = World::start(spec).await?;
    let mut snapshots = world.node_api("laptop")?.subscribe();
    for case in cases {
        let mut delays = Vec::new();
        for run in 0..runs {
            wait_for(&mut snapshots, "Protected before the fault", |snapshot| {
                snapshot.shown.verdict.verdict == Verdict::Protected && !case.evidence.is_shown(snapshot)
            })
            .await
            .with_context(|| world.logs(20))?;
            // Vary the phase of the fault relative to the beacon.
            sleep(Duration::from_millis(1500 + u64::from(run * 379 % 1000))).await;
            while snapshots.try_recv().is_ok() {}
            let began = Instant::now();
            world.inject(&case.fault).await?;
            let found =
                wait_for(&mut snapshots, case.name, |snapshot| case.evidence.is_shown(snapshot)).await?;
            delays.push(found.at.saturating_duration_since(began).as_secs_f64() * 1000.0 / millis);
            world.inject(&case.reversal).await?;
        }
        print_distribution(case.name, &delays, unit);
        report.add_detail(&format!("detect {}", case.name), json!(delays));
        if let Some(budget) = case.budget {
            budgets.entry(budget).or_default().extend(delays);
        }
    }
    Ok(())
}

/// Waits for a snapshot that satisfies a condition.
async fn wait_for(
    snapshots: &mut mpsc::Receiver<Result<ReceivedSnapshot>>,
    what: &str,
    condition: impl Fn(&Snapshot) -> bool,
) -> Result<ReceivedSnapshot> {
    let mut last = None;
    timeout(PATIENCE, async {
        loop {
            let received = snapshots.recv().await.context("the node has ended")??;
            if condition(&received.snapshot) {
                return Ok(received);
            }
            last = Some(received.snapshot.shown.verdict);
        }
    })
    .await
    .unwrap_or_else(|_| Err(anyhow::anyhow!("not within {PATIENCE:?}: {what}; the verdict is {last:?}")))
}
