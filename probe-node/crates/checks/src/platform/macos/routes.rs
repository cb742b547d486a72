//! Route lookups, the routing table, and notifications of changes, over routing sockets (route(4)).

use super::{interfaces, kind::classify_interface, routing_message as message};
use crate::{
    error::CheckError,
    platform::{
        routing_table::{MAX_ROUTES, RouteEntry},
        source_address::find_source_address,
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

/// The longest wait for the kernel, which normally answers in microseconds.
const BUDGET: Duration = Duration::from_secs(1);
/// Longer than any routing message.
const MAX_MESSAGE: usize = 2048;
/// How soon the listening thread notices that it is no longer needed.
const STOP_WITHIN: Duration = Duration::from_secs(1);

/// Returns the route that a packet to `destination` would take.
///
/// Network extensions can divert packets by policies that no system call reports.
pub(super) fn find_route(destination: IpAddr) -> Result<RouteTaken, Reason> {
    let reply = look_up_route(destination)?;
    let name = if_indextoname(u32::from(reply.interface))
        .map_err(|error| Reason::Failed(format!("the route's interface has no name: {error}")))?;
    let interface = name.to_string_lossy().into_owned();
    Ok(RouteTaken {
        kind: classify_interface(&interface),
        interface,
        gateway: reply.gateway,
        source: find_source_address(destination).ok(),
    })
}

fn look_up_route(destination: IpAddr) -> Result<message::RouteReply, Reason> {
    let failed = |error: io::Error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Reason::TimedOut,
        // ESRCH: no route.
        _ if error.raw_os_error() == Some(nix::libc::ESRCH) => Reason::Unreachable,
        _ => reason::of_io(&error),
    };
    let mut socket = open_socket(BUDGET).map_err(failed)?;
    // Every routing socket receives the replies to all requests, so a random number identifies this
    // one.
    let mut sequence = [0; 4];
    getrandom::fill(&mut sequence).map_err(|error| Reason::Failed(error.to_string()))?;
    let sequence = i32::from_ne_bytes(sequence);
    socket.write_all(&message::lookup_request(destination, sequence)).map_err(failed)?;
    let process = i32::try_from(std::process::id()).unwrap_or(0);
    let (until, mut buffer) = (Instant::now() + BUDGET, [0; MAX_MESSAGE]);
    // This socket also receives unrelated messages, so the budget must limit all reads together.
    while Instant::now() < until {
        let length = socket.read(&mut buffer).map_err(failed)?;
        let received = buffer.get(..length).unwrap_or_default();
        if let Some(reply) = message::parse_reply(received, process, sequence) {
            return reply;
        }
    }
    Err(Reason::TimedOut)
}

fn open_socket(timeout: Duration) -> io::Result<Socket> {
    let socket = Socket::new(Domain::from(nix::libc::PF_ROUTE), Type::RAW, None)?;
    socket.set_read_timeout(Some(timeout))?;
    Ok(socket)
}

/// Lists the unicast routes.
///
/// Routes that apply only to packets already bound to an interface (`RTF_IFSCOPE`) are not
/// included.
pub(super) fn list_routes() -> Result<Vec<RouteEntry>, Reason> {
    let routes = RouteManager::new().and_then(|mut manager| manager.list());
    let routes = routes.map_err(|error| reason::of_io(&error))?;
    let usable = routes.iter().filter(|route| !route.if_scope() && route.kind() == RouteKind::Unicast);
    let entry = |route: &route_manager::Route| RouteEntry {
        destination: route.destination(),
        prefix_len: route.prefix(),
        gateway: route.gateway(),
        interface: route.if_index().and_then(|index| {
            let name = if_indextoname(index).ok()?;
            Some(name.to_string_lossy().into_owned())
        }),
        metric: None,
    };
    Ok(usable.take(MAX_ROUTES).map(entry).collect())
}

/// Notifies `trigger` of every message from the kernel that may indicate a change.
///
/// Stops once all other references to `trigger` have been dropped.
pub(super) fn notify_on_changes(trigger: &Arc<Notify>) -> Result<(), CheckError> {
    let failed = |source| CheckError::System { doing: "listen to the kernel's network events", source };
    let socket = open_socket(STOP_WITHIN).map_err(failed)?;
    let trigger = Arc::downgrade(trigger);
    let thread = thread::Builder::new().name("network-changes".into());
    thread.spawn(move || listen(socket, &trigger)).map_err(failed)?;
    Ok(())
}

fn listen(mut socket: Socket, trigger: &Weak<Notify>) {
    let mut buffer = [0; MAX_MESSAGE];
    loop {
        let read = socket.read(&mut buffer);
        let Some(trigger) = trigger.upgrade() else { return };
        match read {
            Ok(length) if message::may_indicate_change(buffer.get(..length).unwrap_or_default()) => {
                trigger.notify_one();
            }
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => {
                // Messages were lost, and they can have been of any kind.
                tracing::warn!(%error, "could not read the kernel's network events; trying again");
                trigger.notify_one();
                thread::sleep(STOP_WITHIN);
            }
        }
    }
}

/// Binds a socket to an interface, regardless of the routing table (`IP_BOUND_IF`,
/// `IPV6_BOUND_IF`).
pub(super) fn bind_to_interface(socket: &Socket, interface: &str) -> io::Result<()> {
    let index = Some(interfaces::find_index(interface)?);
    if socket.local_addr()?.is_ipv6() {
        socket.bind_device_by_index_v6(index)
    } else {
        socket.bind_device_by_index_v4(index)
    }
}
