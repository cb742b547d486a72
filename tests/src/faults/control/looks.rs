//! Looks at the laptop, its way out, and the other nodes.

use super::{AGAIN, LATER, SOON, Watch};
use crate::{
    faults::{
        Change, Forwarding, Interceptor, Lie, Port53,
        inject::network_of,
        names::{BOGON, BOGON_V6},
    },
    host::{Host, Transport},
    internet::Direction,
    place::Ipv6,
    plan,
    probe::{self, Question, Way, ask, look_up, mapped, mapped_by, ping},
    tunnel::INTERFACE,
    world::{World, millis},
};
use anyhow::{Context, Result, ensure};
use hickory_proto::rr::RecordType;
use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

/// The interface that is not the tunnel.
const PHYSICAL: &str = "eth0";
/// What an unloaded path of the lab adds to its delays at most, if asked a few times.
const OVERHEAD: Duration = Duration::from_millis(10);

/// Who looks, and at what.
pub(super) struct Sight {
    laptop: Host,
    /// A host on the Internet that no story is about.
    onlooker: Host,
    /// The public STUN server, over the family the laptop has.
    pub(super) stun: IpAddr,
    /// Where each attached host answers an echo request, and how long the lab makes that take.
    attached: BTreeMap<&'static str, (IpAddr, Duration)>,
}

impl Sight {
    pub(super) fn new(world: &World) -> Result<Self> {
        let onlooker = world.host("root-dns")?.clone();
        let up = world.internet.conditions(onlooker.name())?.delay;
        let all = plan::attachments(&world.spec.with).into_iter();
        let attached = all.filter_map(|it| Some((it.host, (*it.addresses.first()?, 2 * up))));
        let stun = if world.spec.ipv6 == Ipv6::Only { plan::STUN_V6.into() } else { plan::STUN.into() };
        Ok(Self { laptop: world.laptop()?.clone(), onlooker, stun, attached: attached.collect() })
    }

    /// # Errors
    /// Nobody answers now, so that silence would prove nothing.
    pub(super) async fn nobody_answers(&self, stun: IpAddr) -> Result<Watch> {
        mapped(&self.laptop, stun).await?;
        let laptop = self.laptop.clone();
        Ok(Watch::new("nobody answers the laptop", move || silence(laptop.clone(), stun, None)))
    }

    pub(super) fn somebody_answers(&self, stun: IpAddr) -> Watch {
        let laptop = self.laptop.clone();
        Watch::new("the laptop is answered", move || {
            let laptop = laptop.clone();
            async move { mapped_by(&laptop, stun, Way::default()).await.map(drop) }
        })
    }

    pub(super) fn seen_at(&self, address: Ipv4Addr) -> Watch {
        self.seen_by(plan::STUN.into(), address.into())
    }

    pub(super) fn seen_by(&self, stun: IpAddr, address: IpAddr) -> Watch {
        let laptop = self.laptop.clone();
        Watch::new(format!("the laptop is seen at {address}"), move || {
            let laptop = laptop.clone();
            async move {
                let (seen, _) = mapped_by(&laptop, stun, Way::default()).await?;
                ensure!(seen == address, "it is seen at {seen}");
                Ok(())
            }
        })
    }

    /// A socket bound to the physical interface gets nowhere.
    ///
    /// # Errors
    /// It does not get out now either.
    pub(super) async fn bound_is_held_back(&self) -> Result<Watch> {
        mapped_by(&self.laptop, self.stun, bound(PHYSICAL)).await?;
        let (laptop, stun) = (self.laptop.clone(), self.stun);
        let promise = "what is bound to eth0 is held back";
        Ok(Watch::new(promise, move || silence(laptop.clone(), stun, Some(PHYSICAL))))
    }

    pub(super) fn bound_gets_out(&self) -> Watch {
        let (laptop, stun) = (self.laptop.clone(), self.stun);
        Watch::new("what is bound to eth0 gets out", move || {
            let laptop = laptop.clone();
            async move { mapped_by(&laptop, stun, bound(PHYSICAL)).await.map(drop) }
        })
    }

    /// Who answers at the address that every program on the laptop is told to ask.
    pub(super) fn resolver_is(&self, resolver: IpAddr, name: &'static str) -> Watch {
        let laptop = self.laptop.clone();
        Watch::new(format!("the laptop asks {resolver}, and {name} answers"), move || {
            let laptop = laptop.clone();
            async move {
                let told = laptop.output("cat", &["/etc/resolv.conf"], "").await?;
                let asked = told.split_whitespace().nth(1).unwrap_or_default().parse()?;
                let said = ask(&laptop, Question::identity(asked, false), Way::default()).await?.join(" ");
                ensure!(asked == resolver && said.contains(name), "it asks {asked}, and {said} answers");
                Ok(())
            }
        })
    }

    /// A resolver says something of which this is true.
    fn answers(
        &self,
        promise: String,
        question: Question,
        way: Way,
        truth: impl Fn(&str) -> bool + Clone + Send + Sync + 'static,
    ) -> Watch {
        let laptop = self.laptop.clone();
        Watch::new(promise, move || {
            let (laptop, question, truth) = (laptop.clone(), question.clone(), truth.clone());
            async move {
                let said = ask(&laptop, question, way).await?.join(" ");
                ensure!(truth(&said), "it says {said}");
                Ok(())
            }
        })
    }

    /// Who answers questions for the public resolver that take the way past which the interceptor sits.
    pub(super) fn intercepted(&self, by: Interceptor, transport: Port53, change: Change) -> Watch {
        let (device, interceptor) = match by {
            Interceptor::Isp => (PHYSICAL, "isp"),
            Interceptor::Vpn => (INTERFACE, "vpn"),
        };
        let own = |asked| if change == Change::Add && asked { interceptor } else { "public-dns" };
        let wanted = [(false, own(transport != Port53::Tcp)), (true, own(transport != Port53::Udp))];
        let laptop = self.laptop.clone();
        let promise = format!("the public resolver is {} by UDP and {} by TCP", wanted[0].1, wanted[1].1);
        Watch::new(promise, move || {
            let laptop = laptop.clone();
            async move {
                for (by_tcp, host) in wanted {
                    let question = Question::identity(plan::PUBLIC_RESOLVER.into(), by_tcp);
                    let said = ask(&laptop, question, bound(device)).await?.join(" ");
                    ensure!(said.contains(host), "by {} it is {said}", if by_tcp { "TCP" } else { "UDP" });
                }
                Ok(())
            }
        })
    }

    /// Who asks the canary's server on behalf of the VPN's resolver. Names are asked for once only.
    pub(super) fn forwards(&self, to: Forwarding) -> Watch {
        let laptop = self.laptop.clone();
        let wanted = to == Forwarding::ThirdParty;
        let promise = format!("the public resolver asks for the VPN's: {wanted}");
        Watch::new(promise, move || {
            let laptop = laptop.clone();
            async move {
                let name = format!("control-{:x}.{}", fastrand::u64(..), plan::CANARY_ZONE);
                let question = Question::address(plan::VPN_RESOLVER.into(), &name, RecordType::A);
                let egress = ask(&laptop, question, Way::default()).await?.join(" ");
                ensure!(egress.parse::<IpAddr>().is_ok(), "the canary says {egress}");
                ensure!((egress == plan::PUBLIC_RESOLVER.to_string()) == wanted, "{egress} asks");
                Ok(())
            }
        })
    }

    pub(super) fn lies(&self, world: &World, resolver: IpAddr, with: Lie, change: Change) -> Result<Watch> {
        let panel = plan::panel(&world.spec.with);
        let name = *panel.first().context("the panel is empty")?;
        let absent = format!("absent-{:x}.example", fastrand::u64(..));
        let (name, kind, lie) = match with {
            Lie::Bogon => (name, RecordType::A, BOGON.to_string()),
            Lie::OtherServer => (name, RecordType::A, plan::IMPOSTOR.to_string()),
            Lie::AaaaOnly => (name, RecordType::AAAA, BOGON_V6.to_owned()),
            Lie::Nxdomain => (name, RecordType::A, "NXDomain".to_owned()),
            Lie::NxdomainRewrite => (absent.as_str(), RecordType::A, plan::IMPOSTOR.to_string()),
        };
        let verb = if change == Change::Add { "lies" } else { "does not lie" };
        let promise = format!("{resolver} {verb} that {name} is {lie}");
        let question = Question::address(resolver, name, kind);
        Ok(self
            .answers(promise, question, Way::default(), move |said| (said == lie) == (change == Change::Add)))
    }

    /// Which interface the kernel takes.
    pub(super) fn leaves_by_eth0(&self, to: IpAddr, change: Change) -> Watch {
        let wanted = change == Change::Add;
        let laptop = self.laptop.clone();
        Watch::new(format!("packets to {to} leave by eth0: {wanted}"), move || {
            let laptop = laptop.clone();
            async move {
                let said = laptop.output("ip", &["route", "get", &to.to_string()], "").await?;
                ensure!(said.contains(" dev eth0 ") == wanted, "the kernel says {}", said.trim());
                Ok(())
            }
        })
    }

    pub(super) fn has(&self, address: Ipv4Addr) -> Watch {
        let laptop = self.laptop.clone();
        Watch::new(format!("the laptop has {address}"), move || {
            let laptop = laptop.clone();
            async move {
                let said = laptop.output("ip", &["-br", "address", "show", PHYSICAL], "").await?;
                ensure!(said.contains(&format!(" {address}/")), "it has {}", said.trim());
                Ok(())
            }
        })
    }

    pub(super) fn portal(&self, change: Change) -> Watch {
        let laptop = self.laptop.clone();
        let wanted = change == Change::Add;
        Watch::new(format!("a web page is redirected to the portal: {wanted}"), move || {
            let laptop = laptop.clone();
            async move {
                // Without the portal the connection is refused.
                let said = probe::http(&laptop, plan::ECHO, bound(PHYSICAL)).await.unwrap_or_default();
                let portal = said.contains(" 302 ") && said.contains(plan::PORTAL_NAME);
                ensure!(portal == wanted, "it says {said:?}");
                Ok(())
            }
        })
    }

    pub(super) fn everything_stands_still(&self) -> Watch {
        let laptop = self.laptop.clone();
        Watch::new("every process on the laptop is stopped", move || {
            let laptop = laptop.clone();
            async move {
                for process in laptop.processes()? {
                    // proc_pid_stat(5): the state comes after the name in parentheses. What has ended stands still too.
                    let Ok(stat) = fs::read_to_string(format!("/proc/{process}/stat")) else { continue };
                    let state = stat.rsplit(") ").next().unwrap_or_default();
                    ensure!(state.starts_with('T') || state.starts_with('Z'), "it is {stat}");
                }
                Ok(())
            }
        })
    }

    /// The wall clock of the laptop's node goes on from elsewhere.
    pub(super) async fn clock(&self, world: &World, by_ms: i64) -> Result<Watch> {
        let (api, began) = (world.node_api("laptop")?, Instant::now());
        let before = api.snapshot().await?.at.0;
        Ok(Watch::new(format!("the node's clock is {by_ms} ms on"), move || {
            let api = api.clone();
            async move {
                let passed = i64::try_from(began.elapsed().as_millis())?;
                let jumped = api.snapshot().await?.at.0 - before - passed;
                // A snapshot is as old as what it says.
                ensure!((jumped - by_ms).abs() < 5000, "it is {jumped} ms on");
                Ok(())
            }
        }))
    }

    /// Where a network answers an echo request, and how long the lab makes that take at least, both ways.
    fn attached(&self, network: &str) -> Result<(IpAddr, Duration)> {
        self.attached.get(network).copied().with_context(|| format!("{network} is not attached"))
    }

    /// # Errors
    /// It does not answer now either.
    pub(super) async fn network_is_gone(&self, network: &str) -> Result<Watch> {
        let ((address, _), onlooker) = (self.attached(network)?, self.onlooker.clone());
        ensure!(ping(&onlooker, address, 3).await?.answered > 0, "{network} does not answer");
        Ok(Watch::new(format!("{network} does not answer"), move || {
            let onlooker = onlooker.clone();
            async move {
                let pings = ping(&onlooker, address, 3).await?;
                ensure!(pings.answered == 0, "it answers");
                Ok(())
            }
        }))
    }

    /// It answers; late, if told by how much.
    pub(super) fn network_is_there(&self, network: &str, late_ms: Option<f64>) -> Result<Watch> {
        let ((address, _), onlooker) = (self.attached(network)?, self.onlooker.clone());
        let late = late_ms.map(millis).transpose()?.unwrap_or_default();
        Ok(Watch::new(format!("{network} answers after {late:?}"), move || {
            let onlooker = onlooker.clone();
            async move {
                let best = ping(&onlooker, address, 3).await?.best;
                ensure!(best >= late && best < late + SOON, "it answers after {best:?}");
                Ok(())
            }
        }))
    }

    /// The conditions a link was given show in echoes from across it.
    pub(super) fn link(
        &self,
        host: &str,
        direction: Direction,
        delay_ms: Option<f64>,
        jitter_ms: Option<f64>,
        loss: Option<f64>,
    ) -> Result<Watch> {
        let ((address, base), onlooker) = (self.attached(host)?, self.onlooker.clone());
        let delay = delay_ms.map(millis).transpose()?;
        let jitter = jitter_ms.map(millis).transpose()?.unwrap_or_default();
        let both = direction == Direction::Both;
        let promise = format!("{host}'s link has delay {delay:?}, jitter {jitter:?}, loss {loss:?}");
        Ok(Watch::new(promise, move || {
            let onlooker = onlooker.clone();
            async move {
                let pings = ping(&onlooker, address, if loss.is_some() { 50 } else { 10 }).await?;
                if let Some(delay) = delay {
                    let least = base + if both { 2 * delay } else { delay };
                    let most = if both { least + OVERHEAD } else { Duration::MAX };
                    ensure!((least..=most).contains(&pings.best), "not {least:?}: {pings:?}");
                }
                let even = pings.worst < pings.best + jitter / 4;
                ensure!(pings.answered == 0 || jitter.is_zero() || !even, "too even: {pings:?}");
                let lost = pings.sent - pings.answered;
                let as_told = match loss {
                    None => true,
                    Some(loss) if loss <= 0.0 => lost == 0,
                    Some(loss) if loss >= 1.0 => pings.answered == 0,
                    Some(_) => lost > 0 && pings.answered > 0,
                };
                ensure!(as_told, "{pings:?}");
                Ok(())
            }
        }))
    }

    /// Somebody's request to the node goes through the rule that gives it another source.
    pub(super) fn requests_are_rewritten(&self, world: &World, node: &str) -> Result<Watch> {
        let (onlooker, router) = (self.onlooker.clone(), world.host(network_of(node)?)?.clone());
        let address = if node == "vps" { plan::VPS } else { plan::SECOND_LINE };
        Ok(Watch::new(format!("requests to {node} get another source"), move || {
            let (onlooker, router) = (onlooker.clone(), router.clone());
            async move {
                // The node answers only to its own kind.
                let _ = mapped_by(&onlooker, address.into(), Way { device: None, patience: AGAIN }).await;
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

/// Whether a node's own resolver gives it a bogon.
pub(super) fn is_lied_to(world: &World, node: &str, wanted: bool) -> Result<Watch> {
    let host = world.host(node)?.clone();
    let name = *plan::panel(&world.spec.with).first().context("the panel is empty")?;
    Ok(Watch::new(format!("{node} finds {name} at {BOGON}: {wanted}"), move || {
        let host = host.clone();
        async move {
            let found = look_up(&host, name).await?;
            ensure!(found.contains(&BOGON.into()) == wanted, "it finds {found:?}");
            Ok(())
        }
    })
    .within(LATER))
}

pub(super) fn node_is_up(world: &World, node: &str, wanted: bool) -> Result<Watch> {
    let host = world.host(node)?.clone();
    Ok(Watch::new(format!("the node on {node} is up: {wanted}"), move || {
        let host = host.clone();
        async move {
            let up = host.listening(Transport::Tcp, plan::API_PORT, AGAIN).await.is_ok();
            ensure!(up == wanted, "it is not so");
            Ok(())
        }
    }))
}

fn bound(device: &'static str) -> Way {
    Way { device: Some(device), ..Way::default() }
}

async fn silence(laptop: Host, stun: IpAddr, device: Option<&'static str>) -> Result<()> {
    let seen = mapped_by(&laptop, stun, Way { device, ..Way::default() }).await;
    ensure!(seen.is_err(), "it is answered: {seen:?}");
    Ok(())
}
