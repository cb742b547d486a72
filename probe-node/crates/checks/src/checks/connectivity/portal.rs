//! Whether a captive portal answers in place of the network.
//!
//! Services whose response is known are asked over plain HTTP. A portal responds with something
//! else, most often a redirect, which is not followed.
//!
//! A tunnel hides a portal, because nothing gets through it, DNS included. So the first routers are
//! asked as well: a web request past the tunnel whose packets end at them. Whatever responds to it
//! is not a server on the internet.

use crate::{
    checks::physical::physical_paths, context::Context, own_lookups::ServiceNames,
    services::portal::PortalPage, settings::PastTunnel,
};
use futures::future::{join, join_all};
use reqwest::StatusCode;
use sentinel_model::{Connectivity, Family, Outcome, Reason};
use socket2::{Domain, Protocol, Socket, Type};
use std::{io, net::SocketAddr};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    time::timeout,
};

/// The longest body that is read; a portal may respond with a page of any length.
const MAX_BODY: usize = 64 * 1024;
/// How many hops away a portal can be: at the access point or the gateway.
const MAX_HOPS: u32 = 2;
const HTTP_PORT: u16 = 80;
/// The beginning of every response (RFC 9112, section 4).
const HTTP_VERSION: &[u8; 5] = b"HTTP/";

/// Asks the services and the first routers; `None` if nothing responded.
///
/// A service's genuine response outweighs the routers': some routers respond to web requests
/// themselves and still forward everything else.
pub(crate) async fn ask(context: &Context, names: &ServiceNames) -> Option<Connectivity> {
    let (services, router) = join(ask_services(context, names), ask_first_routers(context)).await;
    if router && services != Some(Connectivity::Online) { Some(Connectivity::Portal) } else { services }
}

/// Returns true if there is anything to ask.
pub(crate) fn can_ask(context: &Context) -> bool {
    !context.portal_pages.is_empty() || context.past_tunnel != PastTunnel::Off
}

/// Returns true if one of the first routers responds to a web request meant for the internet.
///
/// Every physical interface is tried.
async fn ask_first_routers(context: &Context) -> bool {
    if context.past_tunnel == PastTunnel::Off {
        return false;
    }
    let Outcome::Measured(interfaces) = context.platform.list_interfaces().await else { return false };
    let attempts = physical_paths(&interfaces).filter_map(|(interface, family)| {
        let address = *context.spread.iter().find(|address| Family::of(**address) == family)?;
        Some((interface, SocketAddr::new(address, HTTP_PORT)))
    });
    let attempts = attempts.map(|(interface, address)| async move {
        let request = timeout(context.budget, request_from_router(context, &interface.name, address));
        request.await.is_ok_and(|responded| responded.unwrap_or(false))
    });
    join_all(attempts).await.contains(&true)
}

/// Requests a page with packets that reach only the first routers; true if the response is HTTP.
async fn request_from_router(context: &Context, interface: &str, address: SocketAddr) -> io::Result<bool> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    context.platform.bind_to_interface(&socket, interface)?;
    match address {
        SocketAddr::V4(_) => socket.set_ttl_v4(MAX_HOPS)?,
        SocketAddr::V6(_) => socket.set_unicast_hops_v6(MAX_HOPS)?,
    }
    let mut stream = TcpSocket::from_std_stream(socket.into()).connect(address).await?;
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", address.ip());
    stream.write_all(request.as_bytes()).await?;
    let mut beginning = [0; HTTP_VERSION.len()];
    stream.read_exact(&mut beginning).await?;
    Ok(beginning == *HTTP_VERSION)
}

/// Asks every service in every family it has an address in, all at once.
///
/// Takes at most one budget for resolving the services and one for asking them.
async fn ask_services(context: &Context, names: &ServiceNames) -> Option<Connectivity> {
    let asks = context.portal_pages.iter().flat_map(|page| Family::ALL.map(|family| (page, family)));
    let responses = join_all(asks.map(|(page, family)| ask_service(context, page, family, names))).await;
    combine(responses.into_iter().flatten())
}

/// Returns whether the response is the service's own; `None` without a response.
async fn ask_service(
    context: &Context,
    page: &PortalPage,
    family: Family,
    names: &ServiceNames,
) -> Option<bool> {
    let clients = context.http.as_ref()?;
    let address = page.host.locate(family, names).await.ok().flatten()?;
    match clients.get(&page.url, address, MAX_BODY, context.budget).await {
        Ok(response) if is_out_of_order(response.status) => None,
        Ok(response) => Some(page.is_genuine(response.status, &response.body)),
        Err(Reason::Malformed(_)) => Some(false), // longer than any genuine response
        Err(_) => None,
    }
}

/// Returns true if the service reports a problem of its own.
///
/// Status 511 is excluded: with it, a portal identifies itself (RFC 6585, section 6).
fn is_out_of_order(status: StatusCode) -> bool {
    let portal = StatusCode::NETWORK_AUTHENTICATION_REQUIRED;
    status == StatusCode::TOO_MANY_REQUESTS || (status.is_server_error() && status != portal)
}

/// Combines responses, each genuine or not; `None` if there is none.
///
/// One genuine response proves the network; false ones alone prove a portal.
fn combine(genuine: impl Iterator<Item = bool>) -> Option<Connectivity> {
    genuine.fold(None, |combined, genuine| match (combined, genuine) {
        (Some(Connectivity::Online), _) | (_, true) => Some(Connectivity::Online),
        (_, false) => Some(Connectivity::Portal),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_genuine_response_proves_the_network_and_false_ones_alone_a_portal() {
        assert_eq!(combine([false, true, false].into_iter()), Some(Connectivity::Online));
        assert_eq!(combine([false, false].into_iter()), Some(Connectivity::Portal));
        assert_eq!(combine([].into_iter()), None);
    }

    #[test]
    fn an_overloaded_service_is_not_a_portal() {
        assert!(is_out_of_order(StatusCode::TOO_MANY_REQUESTS) && is_out_of_order(StatusCode::BAD_GATEWAY));
        for portal in [StatusCode::FOUND, StatusCode::OK, StatusCode::NETWORK_AUTHENTICATION_REQUIRED] {
            assert!(!is_out_of_order(portal));
        }
    }
}
