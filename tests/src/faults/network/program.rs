//! A program of the user that keeps a connection to a public server busy.

use super::lan::{register, stop};
use crate::{
    access_network::Ipv6,
    faults::parameters::{Change, ProgramTransport},
    host::Host,
    plan,
    process::Process,
    world::World,
};
use anyhow::{Context, Result, ensure};
use std::{
    env, fs,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// The file name of the program, by which findings name it.
const PROGRAM: &str = "lab-program";
/// The names of the processes, and of their logs.
const OUTSIDE: &str = "program-outside";
const EARLY: &str = "early-connection";
/// Longest time until the program's first request is answered.
const READY: Duration = Duration::from_secs(10);

/// Starts a program that binds its connection to the physical interface, or stops it.
pub(crate) async fn set_program_outside(
    world: &mut World,
    transport: ProgramTransport,
    change: Change,
) -> Result<()> {
    match change {
        Change::Add => {
            let process = start_program(world, OUTSIDE, transport, &["eth0"])?;
            register(world, OUTSIDE, process)
        }
        Change::Remove => stop(world, OUTSIDE).await,
    }
}

/// Starts a program whose connection is not bound, and waits until it is used.
pub(crate) async fn open_early_connection(world: &mut World) -> Result<()> {
    let process = start_program(world, EARLY, ProgramTransport::Tcp, &[])?;
    register(world, EARLY, process)?;
    let (laptop, deadline) = (world.laptop()?.clone(), Instant::now() + READY);
    while !is_answered(&laptop, EARLY)? {
        ensure!(Instant::now() < deadline, "the connection from before the tunnel is not answered");
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Returns true if a request of the program outside the tunnel has been answered.
pub(crate) fn is_program_outside_answered(laptop: &Host) -> Result<bool> {
    is_answered(laptop, OUTSIDE)
}

fn is_answered(laptop: &Host, name: &str) -> Result<bool> {
    let log = laptop.directory().join(format!("{name}.log"));
    let text = fs::read_to_string(&log).with_context(|| format!("cannot read {}", log.display()))?;
    Ok(text.contains("answered"))
}

fn start_program(world: &World, name: &str, transport: ProgramTransport, device: &[&str]) -> Result<Process> {
    let laptop = world.laptop()?;
    let server: IpAddr = if world.spec.ipv6 == Ipv6::Only { plan::STUN_V6.into() } else { plan::STUN.into() };
    let mut command = laptop.command(find_program()?);
    command.arg(match transport {
        ProgramTransport::Tcp => "tcp",
        ProgramTransport::Udp => "udp",
    });
    command.arg(SocketAddr::new(server, plan::STUN_PORT).to_string()).args(device);
    laptop.start_daemon(name, command)
}

/// Finds the program, which is built beside the lab.
fn find_program() -> Result<PathBuf> {
    let own = env::current_exe().context("cannot find the lab's own program")?;
    let mut candidates = own.ancestors().skip(1).take(2).map(|directory| directory.join(PROGRAM));
    candidates.find(|path| path.is_file()).with_context(|| {
        format!(
            "{PROGRAM} is not next to {}: build it with `cargo build -p vpnsentinel-tests --bins`",
            own.display()
        )
    })
}
