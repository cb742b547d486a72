//! Whether a captive portal answers in place of the network: services are asked over plain HTTP whose answers are known
//! beforehand. A portal answers with something else, most often a redirect, which is not followed.
//!
//! A tunnel hides a portal: nothing gets through it, names included. So the first routers are also asked themselves, by
//! a web request past the tunnel that no router beyond them ever sees: whoever answers that is no server of the internet.

use crate::{
    checks::Inner,
    error::CheckError,
    exit::{self, Host},
    https_echo::web_address,
    names::System,
    self_leak::ways_out,
    settings::{PastTunnel, PortalService},
};
use futures::future::{join, join_all};
use reqwest::{StatusCode, Url};
use sentinel_model::{Connectivity, Family, Outcome, Reason};
use socket2::{Domain, Protocol, Socket, Type};
use std::{io, net::SocketAddr};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    time::timeout,
};

/// A portal's page in place of a short text; more of it says nothing new.
const MAX_BODY: usize = 64 * 1024;
/// The access point and the gateway; a portal is at one of them.
const NEAR: u32 = 2;
const HTTP_PORT: u16 = 80;
/// How every answer begins (RFC 9112, section 4).
const HTTP: &[u8; 5] = b"HTTP/";

/// A service whose answer is known beforehand, its address parsed.
#[derive(Clone, Debug)]
pub(crate) struct Portal {
    url: Url,
    host: Host,
    status: u16,
    body: Option<String>,
}

impl Portal {
    pub(crate) fn parse(portal: &PortalService) -> Result<Self, CheckError> {
        let (url, host) = web_address(&portal.service, "http", "an http:// address")?;
        Ok(Self { url, host, status: portal.status, body: portal.body.clone() })
    }

    /// Whether this is the answer the service itself gives.
    fn is_its_own(&self, status: StatusCode, body: &[u8]) -> bool {
        let same_body = |expected: &String| body.trim_ascii() == expected.as_bytes();
        status.as_u16() == self.status && self.body.as_ref().is_none_or(same_body)
    }
}

/// Asks the services and the first routers. A service's own answer outweighs what the routers do: some answer web
/// requests for everybody and pass the rest.
pub(crate) async fn ask(inner: &Inner, system: &System) -> Option<Connectivity> {
    let (far, near) = join(services(inner, system), next_door(inner)).await;
    if near && far != Some(Connectivity::Online) { Some(Connectivity::Portal) } else { far }
}

/// Whether there is anything to ask.
pub(crate) fn can_ask(inner: &Inner) -> bool {
    !inner.portal.is_empty() || inner.past_tunnel != PastTunnel::Off
}

/// Whether a router close by answers a web request meant for the internet, on any physical interface.
async fn next_door(inner: &Inner) -> bool {
    if inner.past_tunnel == PastTunnel::Off {
        return false;
    }
    let Outcome::Measured(interfaces) = inner.platform.interfaces().await else { return false };
    let tries = ways_out(&interfaces).filter_map(|(interface, family)| {
        let address = *inner.spread.iter().find(|address| Family::of(**address) == family)?;
        Some((interface, SocketAddr::new(address, HTTP_PORT)))
    });
    let tries = tries.map(|(interface, address)| async move {
        let asked = timeout(inner.budget, web_server_at(inner, &interface.name, address));
        asked.await.is_ok_and(|answered| answered.unwrap_or(false))
    });
    join_all(tries).await.contains(&true)
}

/// Asks for a page with packets that cross no more than the first routers; whether the answer is HTTP.
async fn web_server_at(inner: &Inner, interface: &str, address: SocketAddr) -> io::Result<bool> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    inner.platform.bind(&socket, interface)?;
    match address {
        SocketAddr::V4(_) => socket.set_ttl_v4(NEAR)?,
        SocketAddr::V6(_) => socket.set_unicast_hops_v6(NEAR)?,
    }
    let mut stream = TcpSocket::from_std_stream(socket.into()).connect(address).await?;
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", address.ip());
    stream.write_all(request.as_bytes()).await?;
    let mut beginning = [0; HTTP.len()];
    stream.read_exact(&mut beginning).await?;
    Ok(beginning == *HTTP)
}

/// Asks every service in every family it has an address in, all at once. One expected answer proves the network; an
/// unexpected one, with none expected, a portal. Without any answer there is nothing to say. Takes at most one budget
/// for finding the services and one for asking them.
async fn services(inner: &Inner, system: &System) -> Option<Connectivity> {
    let asks = inner.portal.iter().flat_map(|portal| Family::ALL.map(|family| (portal, family)));
    let answers = join_all(asks.map(|(portal, family)| expected(inner, portal, family, system))).await;
    judge(answers.into_iter().flatten())
}

/// Whether the answer was the service's own; `None` without an answer.
async fn expected(inner: &Inner, portal: &Portal, family: Family, system: &System) -> Option<bool> {
    let clients = inner.echo_clients.as_ref()?;
    let at = exit::locate(&portal.host, family, system).await.ok().flatten()?;
    match clients.get((&portal.url, &portal.host), at, MAX_BODY, inner.budget).await {
        Ok(said) if is_ailing(said.status) => None,
        Ok(said) => Some(portal.is_its_own(said.status, &said.body)),
        Err(Reason::Malformed(_)) => Some(false), // a page too long to be the answer
        Err(_) => None,
    }
}

/// Whether a service tells of its own trouble; a portal that says what it is does so by 511 (RFC 6585, section 6).
fn is_ailing(status: StatusCode) -> bool {
    let portal = StatusCode::NETWORK_AUTHENTICATION_REQUIRED;
    status == StatusCode::TOO_MANY_REQUESTS || (status.is_server_error() && status != portal)
}

fn judge(expected: impl Iterator<Item = bool>) -> Option<Connectivity> {
    expected.fold(None, |word, expected| match (word, expected) {
        (Some(Connectivity::Online), _) | (_, true) => Some(Connectivity::Online),
        (_, false) => Some(Connectivity::Portal),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_good_answer_proves_the_network_and_a_wrong_one_alone_a_portal() {
        assert_eq!(judge([false, true, false].into_iter()), Some(Connectivity::Online));
        assert_eq!(judge([false, false].into_iter()), Some(Connectivity::Portal));
        assert_eq!(judge([].into_iter()), None);
    }

    #[test]
    fn a_service_in_trouble_is_no_portal() {
        assert!(is_ailing(StatusCode::TOO_MANY_REQUESTS) && is_ailing(StatusCode::BAD_GATEWAY));
        for portal in [StatusCode::FOUND, StatusCode::OK, StatusCode::NETWORK_AUTHENTICATION_REQUIRED] {
            assert!(!is_ailing(portal));
        }
    }

    #[test]
    fn an_answer_is_its_own_by_status_and_text() {
        let parse = |status, body| {
            Portal::parse(&PortalService::new("p", "http://p.example/", status, body)).unwrap()
        };
        let text = parse(None, Some("success"));
        assert!(text.is_its_own(StatusCode::OK, b"success\n"));
        assert!(!text.is_its_own(StatusCode::OK, b"<html>success</html>"));
        assert!(!text.is_its_own(StatusCode::FOUND, b"success"));
        let empty = parse(Some(204), None);
        assert!(empty.is_its_own(StatusCode::NO_CONTENT, b""));
        assert!(!empty.is_its_own(StatusCode::OK, b""));
        assert!(Portal::parse(&PortalService::new("p", "https://p.example/", None, None)).is_err());
    }
}
