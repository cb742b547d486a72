//! The way a packet would take, as the kernel's routing table has it, the table itself, and hints that it changed.

use super::{interfaces, kind, rtmsg};
use crate::{
    error::CheckError,
    platform::{
        source_towards,
        table::{Entry, MAX_ROUTES},
    },
    reason,
};
use nix::net::if_::if_indextoname;
use route_manager::{RouteKind, RouteManager};
use sentinel_model::{Reason, RouteTaken};
use socket2::{Domain, Socket, Type};
use std::{
    io::{self, ErrorKind, Read, Write},
    net::IpAddr,
    sync::{Arc, Weak},
    thread,
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// The kernel answers in microseconds; a second means that something is very wrong.
const BUDGET: Duration = Duration::from_secs(1);
/// Longer than any routing message.
const LONGEST: usize = 2048;
/// How soon the listening thread notices that nobody wants its hints any more.
const LET_GO: Duration = Duration::from_secs(1);

/// Which way a packet to `destination` would take, but for policies of network extensions, which no call tells.
pub(super) fn route_to(destination: IpAddr) -> Result<RouteTaken, Reason> {
    let answer = ask(destination)?;
    let name = if_indextoname(u32::from(answer.interface))
        .map_err(|error| Reason::Failed(format!("the route's interface has no name: {error}")))?;
    let interface = name.to_string_lossy().into_owned();
    Ok(RouteTaken {
        kind: kind::kind(&interface),
        interface,
        gateway: answer.gateway,
        source: source_towards(destination).ok(),
    })
}

fn ask(destination: IpAddr) -> Result<rtmsg::Answer, Reason> {
    let failed = |error: io::Error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Reason::TimedOut,
        // ESRCH: no route.
        _ if error.raw_os_error() == Some(nix::libc::ESRCH) => Reason::Unreachable,
        _ => reason::of_io(&error),
    };
    let mut socket = open(BUDGET).map_err(failed)?;
    // Every socket of this kind hears the answers to all of them, so each question has a number nobody else has.
    let mut sequence = [0; 4];
    getrandom::fill(&mut sequence).map_err(|error| Reason::Failed(error.to_string()))?;
    let sequence = i32::from_ne_bytes(sequence);
    socket.write_all(&rtmsg::question(destination, sequence)).map_err(failed)?;
    let process = i32::try_from(std::process::id()).unwrap_or(0);
    let (until, mut buffer) = (Instant::now() + BUDGET, [0; LONGEST]);
    // Every change anywhere comes to this socket too, so the budget bounds them all together.
    while Instant::now() < until {
        let length = socket.read(&mut buffer).map_err(failed)?;
        let message = buffer.get(..length).unwrap_or_default();
        if let Some(answer) = rtmsg::answer(message, process, sequence) {
            return answer;
        }
    }
    Err(Reason::TimedOut)
}

fn open(timeout: Duration) -> io::Result<Socket> {
    let socket = Socket::new(Domain::from(nix::libc::PF_ROUTE), Type::RAW, None)?;
    socket.set_read_timeout(Some(timeout))?;
    Ok(socket)
}

/// The routing table, without those routes that lead back through one interface only (`RTF_IFSCOPE`).
pub(super) fn table() -> Result<Vec<Entry>, Reason> {
    let routes = RouteManager::new().and_then(|mut manager| manager.list());
    let routes = routes.map_err(|error| reason::of_io(&error))?;
    let usable = routes.iter().filter(|route| !route.if_scope() && route.kind() == RouteKind::Unicast);
    let entry = |route: &route_manager::Route| Entry {
        destination: route.destination(),
        prefix: route.prefix(),
        gateway: route.gateway(),
        interface: route.if_index().and_then(|index| {
            let name = if_indextoname(index).ok()?;
            Some(name.to_string_lossy().into_owned())
        }),
        metric: None,
    };
    Ok(usable.take(MAX_ROUTES).map(entry).collect())
}

/// Gives a hint on every message of the kernel that may mean a change, for as long as the hint is wanted elsewhere.
pub(super) fn give_hints(hint: &Arc<Notify>) -> Result<(), CheckError> {
    let failed = |source| CheckError::System { doing: "listen to the kernel's network events", source };
    let socket = open(LET_GO).map_err(failed)?;
    let hint = Arc::downgrade(hint);
    let thread = thread::Builder::new().name("network-changes".into());
    thread.spawn(move || listen(socket, &hint)).map_err(failed)?;
    Ok(())
}

fn listen(mut socket: Socket, hint: &Weak<Notify>) {
    let mut buffer = [0; LONGEST];
    loop {
        let read = socket.read(&mut buffer);
        let Some(hint) = hint.upgrade() else { return };
        match read {
            Ok(length) if rtmsg::is_hint(buffer.get(..length).unwrap_or_default()) => hint.notify_one(),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => {
                // Something was lost, and it can have been anything.
                tracing::warn!(%error, "the kernel's network events cannot be read; trying again");
                hint.notify_one();
                thread::sleep(LET_GO);
            }
        }
    }
}

/// Makes a socket use this interface, whatever the routes say (`IP_BOUND_IF`, `IPV6_BOUND_IF`).
pub(super) fn bind(socket: &Socket, interface: &str) -> io::Result<()> {
    let index = Some(interfaces::index(interface)?);
    if socket.local_addr()?.is_ipv6() {
        socket.bind_device_by_index_v6(index)
    } else {
        socket.bind_device_by_index_v4(index)
    }
}
