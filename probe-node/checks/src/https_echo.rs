//! The exit address as HTTPS services see it that answer with the caller's address and nothing else. Every request
//! makes its own connection, follows no redirect, uses no proxy and reads a bounded body.

use crate::{
    checks::Inner,
    error::CheckError,
    exit::{self, Host},
    reason,
    report::Report,
    settings::Service,
};
use futures::future::join_all;
use reqwest::{
    Client, Response, StatusCode, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};
use sentinel_model::{ExitPath, Family, Reason};
use std::{
    collections::HashMap,
    error::Error,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::timeout;

/// An address takes at most 45 characters; a service that says more is not one of these.
const MAX_BODY: usize = 256;

/// An HTTPS echo service, its address parsed.
#[derive(Clone, Debug)]
pub(crate) struct EchoService {
    name: String,
    url: Url,
    host: Host,
}

impl EchoService {
    pub(crate) fn parse(service: &Service) -> Result<Self, CheckError> {
        let (url, host) = web_address(service, "https", "an https:// address")?;
        Ok(Self { name: service.name.clone(), url, host })
    }
}

/// A service's URL and the host in it.
pub(crate) fn web_address(
    service: &Service,
    scheme: &str,
    expected: &'static str,
) -> Result<(Url, Host), CheckError> {
    let wrong =
        || CheckError::Service { name: service.name.clone(), address: service.address.clone(), expected };
    let url = Url::parse(&service.address).map_err(|_| wrong())?;
    let host = url.host_str().filter(|_| url.scheme() == scheme).ok_or_else(wrong)?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let host = bare.parse().map_or_else(|_| Host::Name(host.to_owned()), Host::Address);
    Ok((url, host))
}

/// One client per family, so that the system's certificates are read once and not for every request.
pub(crate) struct EchoClients {
    v4: EchoClient,
    v6: EchoClient,
}

struct EchoClient {
    client: Client,
    pinned: Arc<Pinned>,
}

impl EchoClients {
    pub(crate) fn new(budget: Duration) -> Result<Self, CheckError> {
        Ok(Self {
            v4: EchoClient::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), budget)?,
            v6: EchoClient::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), budget)?,
        })
    }

    /// Gets `url` at the very address given, with at most `max_body` bytes, within `budget`.
    pub(crate) async fn get(
        &self,
        (url, host): (&Url, &Host),
        at: IpAddr,
        max_body: usize,
        budget: Duration,
    ) -> Result<(StatusCode, Vec<u8>), Reason> {
        let EchoClient { client, pinned } = match Family::of(at) {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        };
        pinned.pin(host, at);
        let asked = async {
            let response = client.get(url.clone()).send().await.map_err(|error| describe(&error))?;
            Ok((response.status(), body(response, max_body).await?))
        };
        timeout(budget, asked).await.unwrap_or(Err(Reason::TimedOut))
    }
}

impl EchoClient {
    fn new(local: IpAddr, budget: Duration) -> Result<Self, CheckError> {
        let pinned = Arc::new(Pinned::default());
        let client = Client::builder()
            .no_proxy() // an exit seen through a proxy is the proxy's
            .redirect(Policy::none())
            .referer(false)
            .http1_only()
            .pool_max_idle_per_host(0) // a kept connection would tell of the old path
            .local_address(local)
            .dns_resolver(pinned.clone())
            .timeout(budget)
            .build()
            .map_err(CheckError::Https)?;
        Ok(Self { client, pinned })
    }
}

/// Where names lead, found beforehand: a request goes to the very address its voice is counted by.
#[derive(Default)]
struct Pinned(Mutex<HashMap<String, IpAddr>>);

impl Pinned {
    fn pin(&self, host: &Host, address: IpAddr) {
        if let Host::Name(name) = host {
            // As many entries as there are configured services.
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), address);
        }
    }
}

impl Resolve for Pinned {
    fn resolve(&self, name: Name) -> Resolving {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name.as_str()).copied();
        Box::pin(async move {
            // Port 0 stands for the one in the URL.
            let address = found.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
            let addresses: Addrs = Box::new(std::iter::once(SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}

/// Asks every service in both families, all at once.
pub(crate) async fn run(inner: &Inner, system: &[SocketAddr], report: &Report) {
    let Some(clients) = &inner.echo_clients else { return };
    let asks = inner.echo.iter().flat_map(|service| Family::ALL.map(|family| (service, family)));
    join_all(asks.map(|(service, family)| async move {
        let (found_at, address) = match exit::locate(&service.host, family, system, inner).await {
            Ok(Some(at)) => {
                let got = clients.get((&service.url, &service.host), at, MAX_BODY, inner.budget).await;
                (Some(at), got.and_then(|(status, body)| address(status, &body)))
            }
            Ok(None) => return,
            Err(reason) => (None, Err(reason)),
        };
        let voice = exit::voice(inner, &service.name, family, found_at);
        let seen = reason::outcome(address.and_then(|address| exit::exit(inner, family, address)));
        exit::tell(family, voice, ExitPath::HttpsEcho, seen, report).await;
    }))
    .await;
}

fn address(status: StatusCode, body: &[u8]) -> Result<IpAddr, Reason> {
    match status {
        StatusCode::OK => parse(body),
        _ if status.is_client_error() || status.is_server_error() => {
            Err(Reason::Refused(format!("HTTP {status}")))
        }
        _ => Err(Reason::Malformed(format!("HTTP {status} in place of an address"))),
    }
}

async fn body(mut response: Response, max: usize) -> Result<Vec<u8>, Reason> {
    let mut body = Vec::with_capacity(MAX_BODY.min(max));
    while let Some(chunk) = response.chunk().await.map_err(|error| describe(&error))? {
        if body.len() + chunk.len() > max {
            return Err(Reason::Malformed(format!("more than {max} bytes where a short text was due")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

pub(crate) fn parse(body: &[u8]) -> Result<IpAddr, Reason> {
    let text = str::from_utf8(body).map_err(|_| Reason::Malformed("the answer is no text".into()))?;
    text.trim().parse().map_err(|_| Reason::Malformed("the answer is no address".into()))
}

/// The reason that says most: the system's own, at the bottom of the chain, where there is one.
fn describe(error: &reqwest::Error) -> Reason {
    if error.is_timeout() {
        return Reason::TimedOut;
    }
    let mut deepest: &(dyn Error + 'static) = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    match deepest.downcast_ref::<io::Error>() {
        Some(system) => reason::of_io(system),
        None => Reason::Failed(deepest.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bare_address_is_an_answer() {
        assert_eq!(parse(b"203.0.113.9\n"), Ok(IpAddr::from([203, 0, 113, 9])));
        assert_eq!(parse(b" 2001:db8::7 "), Ok("2001:db8::7".parse().unwrap()));
        for bad in [
            &b""[..],
            b"<html>203.0.113.9</html>",
            b"203.0.113.9 198.51.100.1",
            b"203.0.113.0/24",
            &[0xff, 0xfe],
        ] {
            assert!(matches!(parse(bad), Err(Reason::Malformed(_))), "{bad:?}");
        }
    }

    #[test]
    fn only_https_addresses_are_accepted() {
        let parse = |address: &str| EchoService::parse(&Service::new("echo", address));
        assert!(
            matches!(parse("https://echo.example/ip").unwrap().host, Host::Name(name) if name == "echo.example")
        );
        assert!(matches!(parse("https://[2001:db8::1]/").unwrap().host, Host::Address(IpAddr::V6(_))));
        for bad in ["http://echo.example/", "echo.example", "https://", "file:///etc/passwd"] {
            let error = parse(bad).unwrap_err().to_string();
            assert!(error.contains(bad) && error.contains("[services]"), "{error}");
        }
    }
}
