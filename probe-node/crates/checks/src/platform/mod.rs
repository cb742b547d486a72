//! What only the operating system can tell, one folder per system. Linux, macOS and Windows say what they can; on any
//! other the parts that have no portable answer say `Unknown(Unsupported)`.

#[cfg(target_os = "linux")]
pub(crate) mod linux;
#[cfg(any(target_os = "macos", test))]
pub(crate) mod macos;
#[cfg(any(target_os = "macos", target_os = "windows", test))]
mod table;
#[cfg(any(not(any(target_os = "linux", target_os = "macos", target_os = "windows")), test))]
mod unsupported;
#[cfg(any(target_os = "macos", target_os = "windows", test))]
mod watch;
#[cfg(any(target_os = "windows", test))]
pub(crate) mod windows;

use crate::error::CheckError;
use async_trait::async_trait;
use sentinel_model::{ConfiguredResolver, Interface, Micros, Millis, Outcome, Reason, RouteTaken};
use socket2::Socket;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::sync::mpsc;

/// What only the operating system can tell.
#[async_trait]
pub trait Platform: Send + Sync {
    /// Which way a packet to `destination` would take now. `Unknown(Unreachable)` if there is no way.
    async fn route_to(&self, destination: IpAddr) -> Outcome<RouteTaken>;

    /// The network interfaces as they are now.
    async fn interfaces(&self) -> Outcome<Vec<Interface>>;

    /// The resolvers the system is configured to use now, in the order in which it asks them.
    async fn resolver_config(&self) -> Outcome<Vec<ConfiguredResolver>>;

    /// The far ends of the tunnels in use, as far as the system tells: destinations with a route of their own past the
    /// tunnel.
    async fn tunnel_endpoints(&self) -> Outcome<Vec<IpAddr>> {
        Outcome::Unknown(Reason::Unsupported)
    }

    /// One destination inside every network that the routing table sends to a gateway by a physical interface, the tunnels'
    /// far ends left out. That is how a network is drawn out of a tunnel that holds the default route (DHCP option 121).
    async fn specific_destinations(&self) -> Outcome<Vec<IpAddr>> {
        Outcome::Unknown(Reason::Unsupported)
    }

    /// The resolvers the local network's DHCP server offered, whether or not the system uses them.
    async fn dhcp_resolvers(&self) -> Outcome<Vec<ConfiguredResolver>> {
        Outcome::Unknown(Reason::Unsupported)
    }

    /// Sends one small UDP packet and waits for what a router or the destination says to that. `Refused` or
    /// `Unreachable` if this machine itself will not send it, `TimedOut` if nothing comes back.
    async fn probe(&self, _probe: &Probe) -> Outcome<Echo> {
        Outcome::Unknown(Reason::Unsupported)
    }

    /// Makes a socket that has not connected yet use this interface, whatever the routes say.
    fn bind(&self, _socket: &Socket, _interface: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// A stream of changes from here on. Each comes within about 20 ms of the event; several events of one kind
    /// within 10 ms are one change. It ends when the receiver is dropped. Needs a running Tokio runtime.
    fn changes(&self) -> Result<mpsc::Receiver<Change>, CheckError>;
}

/// A small UDP packet that is not expected to be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Where it goes.
    pub destination: SocketAddr,
    /// The interface it must leave by; as the routes say, if absent.
    pub interface: Option<String>,
    /// How many routers it may cross; as many as usual, if absent.
    pub hops: Option<u8>,
    /// How long to wait.
    pub budget: Duration,
}

/// What came back for a [`Probe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// Who answered: a router where the packet's hops ran out, else the destination.
    pub by: IpAddr,
    /// After how long.
    pub rtt: Micros,
}

/// Something about the network changed, so that what was measured before no longer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// An interface came, went, or changed its state.
    Link,
    /// An address came or went.
    Address,
    /// A route came or went.
    Route,
    /// A routing rule came or went.
    Rule,
    /// The resolver configuration changed.
    ResolverConfig,
    /// The machine slept this long and is awake again.
    Woke(Millis),
}

/// This system's platform. Needs a running Tokio runtime.
#[cfg(target_os = "linux")]
pub fn platform() -> Result<Arc<dyn Platform>, CheckError> {
    Ok(Arc::new(linux::Linux::new()?))
}

/// This system's platform. Needs a running Tokio runtime.
#[cfg(target_os = "macos")]
pub fn platform() -> Result<Arc<dyn Platform>, CheckError> {
    Ok(Arc::new(macos::MacOs))
}

/// This system's platform. Needs a running Tokio runtime.
#[cfg(target_os = "windows")]
pub fn platform() -> Result<Arc<dyn Platform>, CheckError> {
    Ok(Arc::new(windows::Windows))
}

/// This system's platform. Needs a running Tokio runtime.
#[cfg(not(any(target_os = "linux", target_os = "macos", target_os = "windows")))]
pub fn platform() -> Result<Arc<dyn Platform>, CheckError> {
    Ok(Arc::new(unsupported::Unsupported))
}

/// The system answers in milliseconds; this means that something is very wrong. A little more than a probe may take.
#[cfg(any(target_os = "macos", target_os = "windows"))]
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the system on a thread that may wait, which its calls do for milliseconds.
#[cfg(any(target_os = "macos", target_os = "windows"))]
async fn blocking<T: Send + 'static>(ask: impl FnOnce() -> Result<T, Reason> + Send + 'static) -> Outcome<T> {
    let answer = tokio::time::timeout(PATIENCE, tokio::task::spawn_blocking(ask)).await;
    crate::reason::outcome(match answer {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => Err(Reason::Failed(error.to_string())),
        Err(_) => Err(Reason::TimedOut),
    })
}

/// The address a packet to `destination` would carry as its source. Connecting a UDP socket sends nothing.
#[cfg(any(target_os = "macos", target_os = "windows"))]
fn source_towards(destination: IpAddr) -> io::Result<IpAddr> {
    use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
    let any = match destination {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let discard = 9; // any port will do
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((destination, discard))?;
    Ok(socket.local_addr()?.ip())
}
