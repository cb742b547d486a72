//! Effects at the laptop, on its path, and at the other nodes.

use super::effect::{Effect, LATER, PAUSE, SOON};
use crate::{
    access_network::Ipv6,
    faults::{
        dns::{BOGON, BOGON_V6},
        network::is_program_outside_answered,
        parameters::{Change, DnsTransport, Falsification, ForwardTarget, Interceptor},
    },
    host::{Host, Transport},
    internet::Direction,
    plan::{self, router_of},
    probe::{self, DnsQuestion, ProbeOptions, look_up, ping, query_resolver, query_stun, query_stun_once},
    vpn::INTERFACE,
    world::{World, parse_millis},
};
use anyhow::{Context, Result, ensure};
use hickory_proto::rr::RecordType;
use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

/// The laptop's interface other than the tunnel.
const PHYSICAL: &str = "eth0";
/// Largest difference between the best of a few round trips on an unloaded path and its planned
/// delay.
const OVERHEAD: Duration = Duration::from_millis(10);

/// The hosts from which effects are observed.
pub(super) struct Viewpoint {
    laptop: Host,
    /// A host on the Internet that no fault affects.
    outside: Host,
    /// The public STUN server, over the family that the laptop has.
    pub(super) stun: IpAddr,
    /// Address of each attached host, and the round trip from the outside host's link alone.
    attached: BTreeMap<&'static str, (IpAddr, Duration)>,
}

impl Viewpoint {
    pub(super) fn new(world: &World) -> Result<Self> {
        let outside = world.host("root-dns")?.clone();
        let delay = world.internet.link_conditions(outside.name())?.delay;
        let all = plan::attachments(&world.spec.with).into_iter();
        let attached = all.filter_map(|host| Some((host.host, (*host.addresses.first()?, 2 * delay))));
        let stun = if world.spec.ipv6 == Ipv6::Only { plan::STUN_V6.into() } else { plan::STUN.into() };
        Ok(Self { laptop: world.laptop()?.clone(), outside, stun, attached: attached.collect() })
    }

    /// Expects the laptop's STUN requests to remain unanswered.
    ///
    /// # Errors
    /// Fails if they are not answered now, because silence would then prove nothing.
    pub(super) async fn expect_silence(&self, stun: IpAddr) -> Result<Effect> {
        query_stun(&self.laptop, stun).await?;
        let laptop = self.laptop.clone();
        let description = "the laptop gets no answer";
        Ok(Effect::new(description, move || require_silence(laptop.clone(), stun, None)))
    }

    /// Expects the laptop's STUN requests to be answered.
    pub(super) fn expect_reply(&self, stun: IpAddr) -> Effect {
        let laptop = self.laptop.clone();
        Effect::new("the laptop gets an answer", move || {
            let laptop = laptop.clone();
            async move { query_stun_once(&laptop, stun, ProbeOptions::default()).await.map(drop) }
        })
    }

    /// Expects the public STUN server to see the laptop at an IPv4 address.
    pub(super) fn expect_exit(&self, address: Ipv4Addr) -> Effect {
        self.expect_mapped_address(plan::STUN.into(), address.into())
    }

    /// Expects a STUN server to see the laptop at an address.
    pub(super) fn expect_mapped_address(&self, stun: IpAddr, address: IpAddr) -> Effect {
        let laptop = self.laptop.clone();
        Effect::new(format!("the laptop is seen at {address}"), move || {
            let laptop = laptop.clone();
            async move {
                let (seen, _) = query_stun_once(&laptop, stun, ProbeOptions::default()).await?;
                ensure!(seen == address, "it is seen at {seen}");
                Ok(())
            }
        })
    }

    /// Expects packets from a socket bound to the physical interface to be blocked.
    ///
    /// # Errors
    /// Fails if they are blocked already.
    pub(super) async fn expect_closed_kill_switch(&self) -> Result<Effect> {
        query_stun_once(&self.laptop, self.stun, through(PHYSICAL)).await?;
        let (laptop, stun) = (self.laptop.clone(), self.stun);
        let description = "a socket bound to eth0 gets no answer";
        Ok(Effect::new(description, move || require_silence(laptop.clone(), stun, Some(PHYSICAL))))
    }

    /// Expects a socket bound to the physical interface to get an answer.
    pub(super) fn expect_open_kill_switch(&self) -> Effect {
        let (laptop, stun) = (self.laptop.clone(), self.stun);
        Effect::new("a socket bound to eth0 gets an answer", move || {
            let laptop = laptop.clone();
            async move { query_stun_once(&laptop, stun, through(PHYSICAL)).await.map(drop) }
        })
    }

    /// Expects the laptop to be configured with a resolver, and `name` to be the host that answers.
    pub(super) fn expect_resolver(&self, resolver: IpAddr, name: &'static str) -> Effect {
        let laptop = self.laptop.clone();
        Effect::new(format!("the laptop queries {resolver}, and {name} answers"), move || {
            let laptop = laptop.clone();
            async move {
                let text = laptop.output("cat", &["/etc/resolv.conf"], "").await?;
                let configured = text.split_whitespace().nth(1).unwrap_or_default().parse()?;
                let question = DnsQuestion::identity(configured, false);
                let identity = query_resolver(&laptop, question, ProbeOptions::default()).await?.join(" ");
                ensure!(
                    configured == resolver && identity.contains(name),
                    "it queries {configured}, and {identity} answers"
                );
                Ok(())
            }
        })
    }

    /// Expects queries for the public resolver, sent past the interceptor, to be intercepted or
    /// not.
    pub(super) fn expect_interception(
        &self,
        by: Interceptor,
        transport: DnsTransport,
        change: Change,
    ) -> Effect {
        let (device, interceptor) = match by {
            Interceptor::Isp => (PHYSICAL, "isp"),
            Interceptor::Vpn => (INTERFACE, "vpn"),
        };
        let answering = |affected| {
            if change == Change::Add && affected { interceptor } else { "public-dns" }
        };
        let expected = [
            (false, answering(transport != DnsTransport::Tcp)),
            (true, answering(transport != DnsTransport::Udp)),
        ];
        let laptop = self.laptop.clone();
        let description = format!(
            "the public resolver's queries are answered by {} over UDP and by {} over TCP",
            expected[0].1, expected[1].1
        );
        Effect::new(description, move || {
            let laptop = laptop.clone();
            async move {
                for (by_tcp, host) in expected {
                    let question = DnsQuestion::identity(plan::PUBLIC_RESOLVER.into(), by_tcp);
                    let identity = query_resolver(&laptop, question, through(device)).await?.join(" ");
                    let transport = if by_tcp { "TCP" } else { "UDP" };
                    ensure!(identity.contains(host), "over {transport} {identity} answers");
                }
                Ok(())
            }
        })
    }

    /// Expects the canary zone's server to be queried by the VPN's resolver or by its forwarder.
    ///
    /// Every query uses a new name, so that no cache answers it.
    pub(super) fn expect_forwarding(&self, to: ForwardTarget) -> Effect {
        let laptop = self.laptop.clone();
        let forwarded = to == ForwardTarget::ThirdParty;
        let description = format!("the public resolver queries on behalf of the VPN's: {forwarded}");
        Effect::new(description, move || {
            let laptop = laptop.clone();
            async move {
                let name = format!("control-{:x}.{}", fastrand::u64(..), plan::CANARY_ZONE);
                let question = DnsQuestion::address(plan::VPN_RESOLVER.into(), &name, RecordType::A);
                let egress = query_resolver(&laptop, question, ProbeOptions::default()).await?.join(" ");
                ensure!(egress.parse::<IpAddr>().is_ok(), "the canary zone answers {egress}");
                ensure!((egress == plan::PUBLIC_RESOLVER.to_string()) == forwarded, "{egress} queries");
                Ok(())
            }
        })
    }

    /// Expects a resolver to give a falsified answer, or no longer to give it.
    pub(super) fn expect_falsification(
        &self,
        world: &World,
        resolver: IpAddr,
        with: Falsification,
        change: Change,
    ) -> Result<Effect> {
        let panel = plan::panel(&world.spec.with);
        let name = *panel.first().context("the panel is empty")?;
        let absent = format!("absent-{:x}.example", fastrand::u64(..));
        let (name, kind, false_answer) = match with {
            Falsification::Bogon => (name, RecordType::A, BOGON.to_string()),
            Falsification::OtherServer => (name, RecordType::A, plan::IMPOSTOR.to_string()),
            Falsification::AaaaOnly => (name, RecordType::AAAA, BOGON_V6.to_owned()),
            Falsification::Nxdomain => (name, RecordType::A, "NXDomain".to_owned()),
            Falsification::NxdomainRewrite => (absent.as_str(), RecordType::A, plan::IMPOSTOR.to_string()),
        };
        let falsified = change == Change::Add;
        let description = format!("{resolver} answers {false_answer} for {name}: {falsified}");
        let question = DnsQuestion::address(resolver, name, kind);
        let laptop = self.laptop.clone();
        Ok(Effect::new(description, move || {
            let (laptop, question, false_answer) = (laptop.clone(), question.clone(), false_answer.clone());
            async move {
                let answer = query_resolver(&laptop, question, ProbeOptions::default()).await?.join(" ");
                ensure!((answer == false_answer) == falsified, "it answers {answer}");
                Ok(())
            }
        }))
    }

    /// Expects the kernel to route a destination through the physical interface, or no longer.
    pub(super) fn expect_route_outside(&self, to: IpAddr, change: Change) -> Effect {
        let outside = change == Change::Add;
        let laptop = self.laptop.clone();
        Effect::new(format!("packets to {to} leave through eth0: {outside}"), move || {
            let laptop = laptop.clone();
            async move {
                let route = laptop.output("ip", &["route", "get", &to.to_string()], "").await?;
                ensure!(route.contains(" dev eth0 ") == outside, "the kernel's route is {}", route.trim());
                Ok(())
            }
        })
    }

    /// Expects the program outside the tunnel to be answered.
    pub(super) fn expect_busy_program(&self) -> Effect {
        let laptop = self.laptop.clone();
        Effect::new("the program outside the tunnel is answered", move || {
            let laptop = laptop.clone();
            async move {
                ensure!(is_program_outside_answered(&laptop)?, "it has no answer");
                Ok(())
            }
        })
    }

    /// Expects the laptop's physical interface to have an address.
    pub(super) fn expect_address(&self, address: Ipv4Addr) -> Effect {
        let laptop = self.laptop.clone();
        Effect::new(format!("the laptop has {address}"), move || {
            let laptop = laptop.clone();
            async move {
                let addresses = laptop.output("ip", &["-br", "address", "show", PHYSICAL], "").await?;
                ensure!(addresses.contains(&format!(" {address}/")), "it has {}", addresses.trim());
                Ok(())
            }
        })
    }

    /// Expects web requests to be redirected to the captive portal, or no longer.
    pub(super) fn expect_portal(&self, change: Change) -> Effect {
        let laptop = self.laptop.clone();
        let redirected = change == Change::Add;
        Effect::new(format!("a web request is redirected to the portal: {redirected}"), move || {
            let laptop = laptop.clone();
            async move {
                // Without the portal the connection is refused.
                let reply = probe::get_http(&laptop, plan::ECHO, through(PHYSICAL)).await.unwrap_or_default();
                let portal = reply.contains(" 302 ") && reply.contains(plan::PORTAL_NAME);
                ensure!(portal == redirected, "the reply is {reply:?}");
                Ok(())
            }
        })
    }

    /// Expects every process on the laptop to be stopped.
    pub(super) fn expect_stopped_processes(&self) -> Effect {
        let laptop = self.laptop.clone();
        Effect::new("every process on the laptop is stopped", move || {
            let laptop = laptop.clone();
            async move {
                for process in laptop.list_processes()? {
                    // proc_pid_stat(5): the state follows the name in parentheses. A process that
                    // has just ended counts as stopped.
                    let Ok(stat) = fs::read_to_string(format!("/proc/{process}/stat")) else { continue };
                    let state = stat.rsplit(") ").next().unwrap_or_default();
                    ensure!(state.starts_with('T') || state.starts_with('Z'), "a process runs: {stat}");
                }
                Ok(())
            }
        })
    }

    /// Expects the wall clock of the laptop's node to have jumped.
    pub(super) async fn expect_clock(&self, world: &World, by_ms: i64) -> Result<Effect> {
        let (api, began) = (world.node_api("laptop")?, Instant::now());
        let before = api.fetch_snapshot().await?.at.0;
        Ok(Effect::new(format!("the node's clock has jumped by {by_ms} ms"), move || {
            let api = api.clone();
            async move {
                let passed = i64::try_from(began.elapsed().as_millis())?;
                let jumped = api.fetch_snapshot().await?.at.0 - before - passed;
                // The age of a snapshot limits the precision.
                ensure!((jumped - by_ms).abs() < 5000, "it has jumped by {jumped} ms");
                Ok(())
            }
        }))
    }

    /// Returns an attached host's address, and the least round trip to it from the outside host.
    fn find_attached(&self, host: &str) -> Result<(IpAddr, Duration)> {
        self.attached.get(host).copied().with_context(|| format!("{host} is not attached to the Internet"))
    }

    /// Expects an attached host not to answer echo requests.
    ///
    /// # Errors
    /// Fails if it does not answer now.
    pub(super) async fn expect_no_network(&self, host: &str) -> Result<Effect> {
        let ((address, _), outside) = (self.find_attached(host)?, self.outside.clone());
        ensure!(ping(&outside, address, 3).await?.answered > 0, "{host} does not answer");
        Ok(Effect::new(format!("{host} does not answer"), move || {
            let outside = outside.clone();
            async move {
                let pings = ping(&outside, address, 3).await?;
                ensure!(pings.answered == 0, "it answers");
                Ok(())
            }
        }))
    }

    /// Expects an attached host to answer echo requests, after at least `delay_ms` if given.
    pub(super) fn expect_network(&self, host: &str, delay_ms: Option<f64>) -> Result<Effect> {
        let ((address, _), outside) = (self.find_attached(host)?, self.outside.clone());
        let delay = delay_ms.map(parse_millis).transpose()?.unwrap_or_default();
        Ok(Effect::new(format!("{host} answers after {delay:?}"), move || {
            let outside = outside.clone();
            async move {
                let best = ping(&outside, address, 3).await?.best;
                ensure!(best >= delay && best < delay + SOON, "it answers after {best:?}");
                Ok(())
            }
        }))
    }

    /// Expects echo requests across a link to show its new conditions.
    pub(super) fn expect_link(
        &self,
        host: &str,
        direction: Direction,
        delay_ms: Option<f64>,
        jitter_ms: Option<f64>,
        loss: Option<f64>,
    ) -> Result<Effect> {
        let ((address, base), outside) = (self.find_attached(host)?, self.outside.clone());
        let delay = delay_ms.map(parse_millis).transpose()?;
        let jitter = jitter_ms.map(parse_millis).transpose()?.unwrap_or_default();
        let both = direction == Direction::Both;
        let description = format!("{host}'s link has delay {delay:?}, jitter {jitter:?}, loss {loss:?}");
        Ok(Effect::new(description, move || {
            let outside = outside.clone();
            async move {
                let pings = ping(&outside, address, if loss.is_some() { 50 } else { 10 }).await?;
                if let Some(delay) = delay {
                    let least = base + if both { 2 * delay } else { delay };
                    let most = if both { least + OVERHEAD } else { Duration::MAX };
                    ensure!((least..=most).contains(&pings.best), "not {least:?}: {pings:?}");
                }
                let even = pings.worst < pings.best + jitter / 4;
                ensure!(pings.answered == 0 || jitter.is_zero() || !even, "too little jitter: {pings:?}");
                let lost = pings.sent - pings.answered;
                let plausible = match loss {
                    None => true,
                    Some(loss) if loss <= 0.0 => lost == 0,
                    Some(loss) if loss >= 1.0 => pings.answered == 0,
                    Some(_) => lost > 0 && pings.answered > 0,
                };
                ensure!(plausible, "{pings:?}");
                Ok(())
            }
        }))
    }

    /// Expects requests to a node to pass the rule that rewrites their source.
    pub(super) fn expect_rewritten_requests(&self, world: &World, node: &str) -> Result<Effect> {
        let (outside, router) = (self.outside.clone(), world.host(router_of(node)?)?.clone());
        let address = if node == "vps" { plan::VPS } else { plan::SECOND_LINE };
        Ok(Effect::new(format!("requests to {node} get another source"), move || {
            let (outside, router) = (outside.clone(), router.clone());
            async move {
                // The node answers only members of its swarm, so this request has no answer.
                let options = ProbeOptions { device: None, patience: PAUSE };
                let _ = query_stun_once(&outside, address.into(), options).await;
                let rules = router.output("nft", &["list", "table", "ip", "falsified"], "").await?;
                ensure!(
                    rules.contains(" counter packets ") && !rules.contains(" counter packets 0 "),
                    "{rules}"
                );
                Ok(())
            }
        }))
    }
}

/// Expects a node's own resolver to answer with a bogon, or no longer.
pub(super) fn expect_bogon(world: &World, node: &str, expected: bool) -> Result<Effect> {
    let host = world.host(node)?.clone();
    let name = *plan::panel(&world.spec.with).first().context("the panel is empty")?;
    Ok(Effect::new(format!("{node} resolves {name} to {BOGON}: {expected}"), move || {
        let host = host.clone();
        async move {
            let addresses = look_up(&host, name).await?;
            ensure!(addresses.contains(&BOGON.into()) == expected, "it resolves to {addresses:?}");
            Ok(())
        }
    })
    .within(LATER))
}

/// Expects the node of a host to run, or to have stopped.
pub(super) fn expect_node(world: &World, node: &str, running: bool) -> Result<Effect> {
    let host = world.host(node)?.clone();
    Ok(Effect::new(format!("the node on {node} is running: {running}"), move || {
        let host = host.clone();
        async move {
            let listens = host.wait_for_port(Transport::Tcp, plan::API_PORT, PAUSE).await.is_ok();
            ensure!(listens == running, "it is running: {listens}");
            Ok(())
        }
    }))
}

fn through(device: &'static str) -> ProbeOptions {
    ProbeOptions { device: Some(device), ..ProbeOptions::default() }
}

/// Fails if a STUN request from the laptop is answered.
async fn require_silence(laptop: Host, stun: IpAddr, device: Option<&'static str>) -> Result<()> {
    let reply = query_stun_once(&laptop, stun, ProbeOptions { device, ..ProbeOptions::default() }).await;
    ensure!(reply.is_err(), "it is answered: {reply:?}");
    Ok(())
}
