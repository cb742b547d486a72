//! The lab itself: the properties of the world on which the scenarios depend, without any node.

#![cfg(target_os = "linux")]

use anyhow::{Context, Result, ensure};
use std::{
    fs,
    io::{BufRead, BufReader},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use tokio::{net::UdpSocket, time::timeout};
use vpnsentinel_tests::{
    Change, Direction, Fault, Host, Ipv6, Process, ProviderName, Relay, Resolver, Transport, VpnExit, World,
    WorldSpec, lab_test, plan,
    probe::{get_https, look_up, query_stun},
};

const LAB: &str = env!("CARGO_BIN_EXE_lab");

async fn start_world() -> Result<World> {
    World::start(WorldSpec::default()).await
}

async fn query_exit(host: &Host) -> Result<IpAddr> {
    Ok(query_stun(host, plan::STUN.into()).await?.0)
}

/// Starts an echo service on UDP port 7007 of a host.
async fn start_udp_echo(host: &Host) -> Result<()> {
    let echo = host.clone();
    tokio::spawn(async move {
        echo.run::<_, _, ()>(|| async {
            let socket = UdpSocket::bind("0.0.0.0:7007").await?;
            let mut buffer = [0; 64];
            loop {
                let (length, peer) = socket.recv_from(&mut buffer).await?;
                socket.send_to(&buffer[..length], peer).await?;
            }
        })
        .await
    });
    host.wait_for_port(Transport::Udp, 7007, Duration::from_secs(5)).await
}

/// Measures the best of several round trips to [`start_udp_echo`].
async fn measure_round_trip(from: &Host, address: Ipv4Addr) -> Result<Duration> {
    from.run(move || async move {
        let socket = UdpSocket::bind("0.0.0.0:0").await?;
        socket.connect((address, 7007)).await?;
        let mut best = Duration::MAX;
        for number in 0..20u8 {
            let (sent, mut buffer) = (Instant::now(), [0; 64]);
            socket.send(&[number]).await?;
            if timeout(Duration::from_millis(500), socket.recv(&mut buffer)).await.is_ok() {
                best = best.min(sent.elapsed());
            }
        }
        ensure!(best < Duration::MAX, "no answer from {address}");
        Ok(best)
    })
    .await
}

fn ensure_near(measured: Duration, milliseconds: u64) -> Result<()> {
    // A packet is never early. A busy machine and encryption in user space may add a little.
    let range = Duration::from_millis(milliseconds)..Duration::from_millis(milliseconds + 4);
    ensure!(range.contains(&measured), "{measured:?} is not {milliseconds} ms");
    Ok(())
}

async fn query_echo_service(world: &World) -> Result<String> {
    let authority = world.authority()?;
    let page = get_https(world.laptop()?, &authority, plan::ECHO_NAME, None, Duration::from_secs(5)).await?;
    Ok(page.text)
}

lab_test!(the_tunnel_hides_the_home_line_until_it_is_removed, async {
    let mut world = start_world().await?;
    ensure!(query_echo_service(&world).await? == plan::VPN_EXIT.to_string());
    ensure!(query_exit(world.laptop()?).await? == plan::VPN_EXIT);
    world.inject(&Fault::TunnelRemoved {}).await?;
    ensure!(query_exit(world.laptop()?).await? == plan::HOME);
    world.inject(&Fault::ResolverSwitched { to: Resolver::Router }).await?;
    ensure!(query_echo_service(&world).await? == plan::HOME.to_string());
    world.inject(&Fault::TunnelRestored {}).await?;
    ensure!(query_exit(world.laptop()?).await? == plan::VPN_EXIT);
    ensure!(query_echo_service(&world).await? == plan::VPN_EXIT.to_string());
    Ok(())
});

lab_test!(round_trips_match_the_conditions_of_the_links, async {
    let mut world = start_world().await?;
    let laptop = world.laptop()?.clone();
    start_udp_echo(world.host("vps")?).await?;
    ensure_near(measure_round_trip(&laptop, plan::VPS).await?, 40)?;
    world.inject(&"link host=vpn delay_ms=1".parse()?).await?;
    ensure_near(measure_round_trip(&laptop, plan::VPS).await?, 19)?;
    world.internet().change_link("cloud", Direction::Down, |link| link.delay += Duration::from_millis(10))?;
    ensure_near(measure_round_trip(&laptop, plan::VPS).await?, 29)?;
    world.inject(&Fault::TunnelRemoved {}).await?;
    ensure_near(measure_round_trip(&laptop, plan::VPS).await?, 25)
});

lab_test!(every_resolver_gives_the_authoritative_answers, async {
    let mut world = start_world().await?;
    for to in [Resolver::Vpn, Resolver::Isp, Resolver::Router, Resolver::Public] {
        world.inject(&Fault::ResolverSwitched { to }).await?;
        for (name, v4, v6) in plan::PANEL {
            let found =
                look_up(world.laptop()?, name).await.with_context(|| format!("{name} through {to:?}"))?;
            let (v4, v6): (IpAddr, IpAddr) = (v4.parse()?, v6.parse()?);
            ensure!(
                found.contains(&v4) && found.iter().all(|address| [v4, v6].contains(address)),
                "{name}: {found:?}"
            );
        }
        ensure!(look_up(world.laptop()?, "absent.example").await.is_err());
    }
    // Positive control: the answers come from that one server.
    world.internet().change_link("root-dns", Direction::Both, |link| link.silent = true)?;
    ensure!(look_up(world.laptop()?, "www.uncached.example").await.is_err());
    Ok(())
});

lab_test!(each_host_has_its_own_resolver_configuration_and_interfaces, async {
    let world = start_world().await?;
    let read = |host: &str, command: &str| {
        let host = world.host(host).cloned();
        let command = command.to_owned();
        async move { host?.output("sh", &["-c", &command], "").await }
    };
    ensure!(
        read("laptop", "cat /etc/resolv.conf").await?.trim() == format!("nameserver {}", plan::VPN_RESOLVER)
    );
    ensure!(
        read("vps", "cat /etc/resolv.conf").await?.trim() == format!("nameserver {}", plan::PUBLIC_RESOLVER)
    );
    let interfaces = read("laptop", "ls /sys/class/net").await?;
    ensure!(interfaces.split_whitespace().eq(["eth0", "lo", "wg0"]), "{interfaces}");
    Ok(())
});

lab_test!(faults_have_their_documented_effect_and_can_be_reversed, async {
    let mut world = start_world().await?;
    let laptop = world.laptop()?.clone();
    world.inject(&Fault::ExitSwitched { to: VpnExit::Second }).await?;
    ensure!(query_exit(&laptop).await? == plan::VPN_SECOND_EXIT);
    world.inject(&Fault::ExitBecomesHome {}).await?;
    ensure!(query_exit(&laptop).await? == plan::HOME);
    ensure!(look_up(&laptop, "www.alpha.example").await.is_ok(), "the provider's resolver still answers");
    world.inject(&Fault::ExitBack {}).await?;
    ensure!(query_exit(&laptop).await? == plan::VPN_EXIT);

    world.inject(&Fault::ProviderSwitched { to: ProviderName::Other }).await?;
    ensure!(query_exit(&laptop).await? == plan::OTHER_VPN_EXIT);
    ensure!(look_up(&laptop, "www.alpha.example").await.is_ok(), "the other provider's resolver answers");
    world.inject(&Fault::ProviderSwitched { to: ProviderName::Example }).await?;
    ensure!(query_exit(&laptop).await? == plan::VPN_EXIT);

    ensure!(query_stun(&laptop, plan::STUN_V6.into()).await.is_err(), "no IPv6 at first");
    world.inject(&Fault::Ipv6DefaultRoute { change: Change::Add }).await?;
    ensure!(query_stun(&laptop, plan::STUN_V6.into()).await?.0 == plan::LAPTOP_V6);
    ensure!(query_exit(&laptop).await? == plan::VPN_EXIT, "IPv4 stays in the tunnel");
    world.inject(&Fault::Ipv6DefaultRoute { change: Change::Remove }).await?;
    ensure!(query_stun(&laptop, plan::STUN_V6.into()).await.is_err());

    for (fault, undo) in [
        (Fault::ServerSilent {}, Fault::ServerBack {}),
        (Fault::Offline {}, Fault::Online {}),
        ("node-cut-off node=laptop".parse()?, "node-back node=laptop".parse()?),
    ] {
        world.inject(&fault).await?;
        ensure!(query_exit(&laptop).await.is_err(), "{fault:?}");
        world.inject(&undo).await?;
        ensure!(query_exit(&laptop).await? == plan::VPN_EXIT, "{undo:?}");
    }
    Ok(())
});

async fn inject(world: &mut World, faults: &[&str]) -> Result<()> {
    for fault in faults {
        world.inject(&fault.parse()?).await?;
    }
    Ok(())
}

lab_test!(every_route_outside_the_tunnel_exposes_home_and_can_be_removed, async {
    let mut world = start_world().await?;
    let laptop = world.laptop()?.clone();
    for fault in [
        "route-outside prefix=198.19.3.0/24",
        "dhcp-route prefix=192.0.0.0/3",
        "policy-rule",
        "policy-rule prefix=198.19.0.0/16",
    ] {
        inject(&mut world, &[&format!("{fault} change=add")]).await.context(fault)?;
        ensure!(query_exit(&laptop).await? == plan::HOME, "{fault}");
        inject(&mut world, &[&format!("{fault} change=remove")]).await.context(fault)?;
        ensure!(query_exit(&laptop).await? == plan::VPN_EXIT, "{fault} is reversed");
    }
    Ok(())
});

lab_test!(a_router_advertisement_adds_and_removes_ipv6, async {
    let mut world = start_world().await?;
    let laptop = world.laptop()?.clone();
    let home: sentinel_model::IpNet = "2001:db8:51::/56".parse()?;
    inject(&mut world, &["router-advertisement change=add"]).await?;
    // The laptop first has to receive the advertisement and configure its address.
    let deadline = Instant::now() + Duration::from_secs(10);
    let seen = loop {
        match query_stun(&laptop, plan::STUN_V6.into()).await {
            Err(error) if Instant::now() >= deadline => return Err(error.context("after the advertisement")),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            Ok((seen, _)) => break seen,
        }
    };
    ensure!(home.contains(&seen));
    inject(&mut world, &["router-advertisement change=remove"]).await?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while query_stun(&laptop, plan::STUN_V6.into()).await.is_ok() {
        ensure!(Instant::now() < deadline, "the route stays");
    }
    Ok(())
});

lab_test!(a_closed_kill_switch_allows_only_the_tunnel, async {
    let mut world = start_world().await?;
    let laptop = world.laptop()?.clone();
    inject(&mut world, &["kill-switch change=add"]).await?;
    ensure!(query_exit(&laptop).await? == plan::VPN_EXIT);
    inject(&mut world, &["tunnel-removed"]).await?;
    ensure!(query_exit(&laptop).await.is_err());
    inject(&mut world, &["tunnel-restored"]).await?;
    ensure!(query_exit(&laptop).await? == plan::VPN_EXIT);
    inject(&mut world, &["tunnel-removed", "kill-switch change=remove"]).await?;
    ensure!(query_exit(&laptop).await? == plan::HOME);
    Ok(())
});

lab_test!(a_captive_portal_answers_every_query_and_forwards_nothing, async {
    let mut world = start_world().await?;
    let laptop = world.laptop()?.clone();
    inject(&mut world, &["captive-portal change=add"]).await?;
    ensure!(query_exit(&laptop).await.is_err());
    inject(&mut world, &["tunnel-removed", "resolver-switched to=router"]).await?;
    ensure!(look_up(&laptop, "www.alpha.example").await? == [IpAddr::from(plan::ROUTER)]);
    ensure!(query_exit(&laptop).await.is_err());
    let answer = laptop
        .run(|| async {
            let mut stream = tokio::net::TcpStream::connect((plan::ECHO, 80)).await?;
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET / HTTP/1.0\r\n\r\n").await?;
            let mut text = String::new();
            tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut text).await?;
            Ok(text)
        })
        .await?;
    ensure!(answer.contains(" 302 ") && answer.contains(plan::PORTAL_NAME), "{answer}");
    inject(&mut world, &["captive-portal change=remove"]).await?;
    ensure!(query_exit(&laptop).await? == plan::HOME);
    Ok(())
});

lab_test!(the_tunnel_follows_the_laptop_to_a_cafe_and_back, async {
    let mut world = start_world().await?;
    let laptop = world.laptop()?.clone();
    inject(&mut world, &["roamed to=cafe"]).await?;
    ensure!(query_exit(&laptop).await? == plan::VPN_EXIT);
    ensure!(look_up(&laptop, "www.alpha.example").await.is_ok());
    inject(&mut world, &["tunnel-removed"]).await?;
    ensure!(query_exit(&laptop).await? == plan::CAFE);
    inject(&mut world, &["roamed to=home"]).await?;
    ensure!(query_exit(&laptop).await? == plan::HOME);
    inject(&mut world, &["tunnel-restored"]).await?;
    ensure!(query_exit(&laptop).await? == plan::VPN_EXIT);
    Ok(())
});

lab_test!(a_tunnel_can_carry_both_families, async {
    let mut world = World::start(WorldSpec { ipv6: Ipv6::Tunnel, ..WorldSpec::default() }).await?;
    let laptop = world.laptop()?.clone();
    let v6 = async || Ok::<_, anyhow::Error>(query_stun(&laptop, plan::STUN_V6.into()).await?.0);
    ensure!(query_exit(&laptop).await? == plan::VPN_EXIT && v6().await? == plan::VPN_EXIT_V6);
    for (fault, seen) in [
        ("route-outside prefix=2001:db8:c3::/48", Some(plan::LAPTOP_V6)),
        ("tunnel-without-ipv6", Some(plan::LAPTOP_V6)),
        ("ipv6-dead", None),
    ] {
        inject(&mut world, &[&format!("{fault} change=add")]).await?;
        ensure!(v6().await.ok() == seen.map(IpAddr::from), "{fault}");
        ensure!(query_exit(&laptop).await? == plan::VPN_EXIT, "IPv4 stays in the tunnel");
        inject(&mut world, &[&format!("{fault} change=remove")]).await?;
        ensure!(v6().await? == plan::VPN_EXIT_V6, "{fault} is reversed");
    }
    Ok(())
});

lab_test!(a_world_can_have_ipv6_only, async {
    let mut world = World::start(WorldSpec { ipv6: Ipv6::Only, ..WorldSpec::default() }).await?;
    let laptop = world.laptop()?.clone();
    ensure!(query_exit(&laptop).await.is_err(), "there is no IPv4");
    ensure!(query_stun(&laptop, plan::STUN_V6.into()).await?.0 == plan::VPN_EXIT_V6);
    ensure!(look_up(&laptop, "www.alpha.example").await.is_ok());
    inject(&mut world, &["tunnel-removed"]).await?;
    ensure!(query_stun(&laptop, plan::STUN_V6.into()).await?.0 == plan::LAPTOP_V6);
    Ok(())
});

lab_test!(a_packet_with_an_expired_ttl_is_answered, async {
    let world = start_world().await?;
    let ping = |hops: u8| format!("ping -n -c1 -W2 -t{hops} {} || true", plan::ECHO);
    let vps = world.host("vps")?;
    let output = vps.output("sh", &["-c", &ping(64)], "").await?;
    ensure!(output.contains("bytes from"), "{output}");
    let output = vps.output("sh", &["-c", &ping(2)], "").await?;
    ensure!(output.contains(&plan::BACKBONE.to_string()) && output.contains("exceeded"), "{output}");
    Ok(())
});

lab_test!(a_suspended_laptop_continues_afterwards, async {
    let mut world = start_world().await?;
    let laptop = world.laptop()?.clone();
    inject(&mut world, &["laptop-suspended for_ms=3000"]).await?;
    let began = Instant::now();
    while query_exit(&laptop).await.ok() != Some(plan::VPN_EXIT.into()) {
        ensure!(began.elapsed() < Duration::from_secs(10), "it does not continue");
    }
    ensure!(began.elapsed() > Duration::from_secs(2), "wireguard-go was not stopped");
    Ok(())
});

lab_test!(the_home_server_is_reachable_for_stun_only, async {
    let world = start_world().await?;
    let (laptop, server) = (world.laptop()?.clone(), world.host("home-server")?.clone());
    let listening = server.clone();
    let listener = tokio::spawn(async move {
        let bind = || async {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, plan::STUN_PORT)).await?;
            let mut buffer = [0; 16];
            Ok(timeout(Duration::from_secs(10), socket.recv_from(&mut buffer)).await??.1)
        };
        listening.run(bind).await
    });
    server.wait_for_port(Transport::Udp, plan::STUN_PORT, Duration::from_secs(5)).await?;
    laptop
        .run(|| async {
            let socket = UdpSocket::bind("0.0.0.0:0").await?;
            socket.send_to(b"hello", (plan::SECOND_LINE, plan::STUN_PORT)).await?;
            let swarm = SocketAddr::from((plan::SECOND_LINE, plan::SWARM_PORT));
            let refused = timeout(Duration::from_millis(300), tokio::net::TcpStream::connect(swarm)).await;
            ensure!(!matches!(refused, Ok(Ok(_))), "the swarm port must not be forwarded");
            Ok(())
        })
        .await?;
    ensure!(listener.await??.ip() == plan::VPN_EXIT);
    Ok(())
});

lab_test!(a_relay_connects_to_a_port_of_a_host, async {
    let world = start_world().await?;
    let laptop = world.laptop()?.clone();
    let serving = tokio::spawn(async move {
        let serve = || async {
            let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, plan::API_PORT)).await?;
            let (mut stream, _) = listener.accept().await?;
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"from the laptop").await?;
            Ok(())
        };
        laptop.run(serve).await
    });
    world.laptop()?.wait_for_port(Transport::Tcp, plan::API_PORT, Duration::from_secs(5)).await?;
    let (_relay, address) = Relay::tcp(world.laptop()?, plan::API_PORT)?;
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    let mut text = String::new();
    timeout(Duration::from_secs(5), tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut text))
        .await??;
    ensure!(text == "from the laptop");
    serving.await?
});

lab_test!(a_second_world_can_be_built_after_the_first, async {
    for _ in 0..2 {
        let world = start_world().await?;
        let mut waiting: Process = world.laptop()?.spawn({
            let mut sleep = Command::new("sleep");
            sleep.arg("60");
            sleep
        })?;
        ensure!(query_exit(world.laptop()?).await? == plan::VPN_EXIT);
        waiting.stop().await?;
        ensure!(!waiting.is_running());
    }
    Ok(())
});

/// Returns the command that runs a program on the laptop of a world of its own.
fn lab_up(program: &[&str]) -> Command {
    let mut command = Command::new(LAB);
    command
        .args(["up", "--"])
        .args(program)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

#[test]
fn two_labs_do_not_interfere() {
    let script = "ip -br address show wg0 && getent ahostsv4 www.beta.example && sleep 2 && getent ahostsv4 echo.example";
    let labs: Vec<_> = (0..2).map(|_| lab_up(&["sh", "-c", script]).spawn().unwrap()).collect();
    for lab in labs {
        let ended = lab.wait_with_output().unwrap();
        let output = String::from_utf8_lossy(&ended.stdout);
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        assert!(
            output.contains("10.64.0.2/32")
                && output.contains("198.19.60.2")
                && output.contains("198.19.4.4"),
            "{output}"
        );
    }
}

#[test]
fn the_lab_exits_with_the_programs_code() {
    assert!(lab_up(&["true"]).output().unwrap().status.success());
    assert!(!lab_up(&["false"]).output().unwrap().status.success());
}

/// Returns the processes whose command line contains a text.
fn find_processes(text: &str) -> Vec<PathBuf> {
    let processes = fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let contains_text = |path: &PathBuf| {
        fs::read(path.join("cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(text))
    };
    processes.filter(contains_text).collect()
}

#[test]
fn killing_a_lab_leaves_nothing_behind() {
    let mark = format!("marked-{}", std::process::id());
    let script = format!("echo ready; sleep 300; echo {mark}");
    let mut lab = lab_up(&["sh", "-c", &script]).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(lab.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    // The lab runs twice more besides the program on the laptop.
    assert!(find_processes(&mark).len() >= 3, "{:?}", find_processes(&mark));
    lab.kill().unwrap();
    lab.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    while !find_processes(&mark).is_empty() {
        assert!(Instant::now() < deadline, "still running: {:?}", find_processes(&mark));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn missing_programs_are_named_with_their_packages() {
    let ended = Command::new(LAB).args(["up", "--", "true"]).env("PATH", "/nonexistent").output().unwrap();
    let message = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success());
    for package in [
        "iproute2",
        "nftables",
        "wireguard-tools",
        "unbound",
        "nsd",
        "coturn",
        "nginx-light",
        "openssl",
        "udhcpc",
        "iputils-ping",
    ] {
        assert!(message.contains(package), "{package} is not named in: {message}");
    }
}
