//! The exit address as HTTPS services see it that answer with the caller's address and nothing else. Every request
//! makes its own connection, follows no redirect, uses no proxy and reads a bounded body. A few are asked each round, in
//! turn, and one that refuses is left alone for a while (`courtesy`).

use crate::{
    checks::Inner,
    error::CheckError,
    exit::{self, Host},
    names::System,
    reason,
    report::Report,
    settings::Service,
    tls::Tls,
};
use futures::future::join_all;
use reqwest::{
    Client, Response, StatusCode, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::RETRY_AFTER,
    redirect::Policy,
};
use sentinel_model::{ExitPath, Family, Reason};
use std::{
    collections::HashMap,
    error::Error,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// An address takes at most 45 characters; a service that says more is not one of these.
const MAX_BODY: usize = 256;
/// Services asked per round: enough for a majority.
const PER_ROUND: usize = 3;
/// How long a service that refused is left alone if it does not say.
const REST: Duration = Duration::from_mins(5);
/// What it may say: no less, or it would be asked again in vain, and no more, or a slip of its would last.
const RESTS: (Duration, Duration) = (Duration::from_mins(1), Duration::from_hours(1));

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

/// Why there is no address.
#[derive(Debug, PartialEq, Eq)]
enum NoAddress {
    /// The service will not tell for so long.
    Refused(Reason, Duration),
    /// It could not be reached, or made no sense.
    Because(Reason),
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

/// What a service said.
pub(crate) struct Said {
    pub(crate) status: StatusCode,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// One client per family, so that the system's certificates are read once and not for every request.
pub(crate) struct EchoClients {
    v4: EchoClient,
    v6: EchoClient,
    /// Counts the rounds, so that the services take turns.
    round: AtomicUsize,
}

struct EchoClient {
    client: Client,
    pinned: Arc<Pinned>,
}

impl EchoClients {
    pub(crate) fn new(budget: Duration, tls: &Tls) -> Result<Self, CheckError> {
        Ok(Self {
            v4: EchoClient::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), budget, tls)?,
            v6: EchoClient::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), budget, tls)?,
            round: AtomicUsize::new(0),
        })
    }

    /// Gets `url` at the very address given, with at most `max_body` bytes, within `budget`.
    pub(crate) async fn get(
        &self,
        (url, host): (&Url, &Host),
        at: IpAddr,
        max_body: usize,
        budget: Duration,
    ) -> Result<Said, Reason> {
        let EchoClient { client, pinned } = match Family::of(at) {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        };
        pinned.pin(host, at);
        let asked = async {
            let response = client.get(url.clone()).send().await.map_err(|error| describe(&error))?;
            let status = response.status();
            let after = response.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok());
            let retry_after = after.map(str::to_owned);
            let body = match body(response, max_body).await {
                // What a refusal is dressed in does not matter.
                Err(_) if !status.is_success() => Vec::new(),
                body => body?,
            };
            Ok(Said { status, retry_after, body })
        };
        timeout(budget, asked).await.unwrap_or(Err(Reason::TimedOut))
    }
}

impl EchoClient {
    fn new(local: IpAddr, budget: Duration, tls: &Tls) -> Result<Self, CheckError> {
        let pinned = Arc::new(Pinned::default());
        let client = Client::builder()
            .tls_backend_preconfigured(tls.client().map_err(CheckError::Certificates)?)
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

/// Asks the services whose turn it is in both families, all at once.
pub(crate) async fn run(inner: &Inner, system: &System, report: &Report) {
    let Some(clients) = &inner.echo_clients else { return };
    let first = clients.round.fetch_add(1, Ordering::Relaxed);
    let turn = turn(first, &inner.echo, |service| inner.courtesy.may_ask(&service.name, Instant::now()));
    let asks = turn.into_iter().flat_map(|service| Family::ALL.map(|family| (service, family)));
    join_all(asks.map(|(service, family)| async move {
        let (found_at, address) = match exit::locate(&service.host, family, system).await {
            Ok(Some(at)) => {
                let got = match exit::excluded(inner, at) {
                    Some(reason) => Err(reason),
                    None => clients.get((&service.url, &service.host), at, MAX_BODY, inner.budget).await,
                };
                (Some(at), got.map_err(NoAddress::Because).and_then(|said| address(&said)))
            }
            Ok(None) => return,
            Err(reason) => (None, Err(NoAddress::Because(reason))),
        };
        let address = address.map_err(|none| match none {
            NoAddress::Refused(reason, rest) => {
                inner.courtesy.rest(&service.name, Instant::now() + rest);
                reason
            }
            NoAddress::Because(reason) => reason,
        });
        let voice = exit::voice(inner, &service.name, family, found_at);
        let seen = reason::outcome(address.and_then(|address| exit::exit(inner, family, address)));
        exit::tell(family, voice, ExitPath::HttpsEcho, seen, report).await;
    }))
    .await;
}

/// The next few of the services that may be asked, beginning with another one each round.
fn turn(round: usize, services: &[EchoService], may_ask: impl Fn(&EchoService) -> bool) -> Vec<&EchoService> {
    let (tail, head) = services.split_at(round % services.len().max(1));
    head.iter().chain(tail).filter(|service| may_ask(service)).take(PER_ROUND).collect()
}

fn address(said: &Said) -> Result<IpAddr, NoAddress> {
    let status = said.status;
    if status == StatusCode::OK {
        return parse(&said.body).map_err(NoAddress::Because);
    }
    if status.is_client_error() || status.is_server_error() {
        let rest = rest(said.retry_after.as_deref());
        return Err(NoAddress::Refused(Reason::Refused(format!("HTTP {status}")), rest));
    }
    Err(NoAddress::Because(Reason::Malformed(format!("HTTP {status} in place of an address"))))
}

/// How long a service wants to be left alone (RFC 9110, section 10.2.3). Only seconds are understood; a date is taken
/// for a silence, since it would have to be compared with a clock that is for display.
fn rest(retry_after: Option<&str>) -> Duration {
    let asked = retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    asked.map_or(REST, |asked| asked.clamp(RESTS.0, RESTS.1))
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

/// The address a service answered with.
pub fn parse(body: &[u8]) -> Result<IpAddr, Reason> {
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
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

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

    /// What is made of a server that answers with these bytes, over and over if `endless`.
    async fn asked(response: &'static str, endless: bool) -> Result<IpAddr, NoAddress> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(response.as_bytes()).await;
            while endless && stream.write_all(&[b'1'; 4096]).await.is_ok() {}
        });
        let budget = Duration::from_secs(2);
        let clients = EchoClients::new(budget, &Tls::default()).unwrap();
        let host = Host::Address(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let got = clients.get((&url, &host), Ipv4Addr::LOCALHOST.into(), MAX_BODY, budget).await;
        got.map_err(NoAddress::Because).and_then(|said| address(&said))
    }

    #[tokio::test]
    async fn a_refusal_says_how_long_to_stay_away() {
        let refused = |answer| match answer {
            Err(NoAddress::Refused(Reason::Refused(_), rest)) => rest.as_secs(),
            other => panic!("{other:?}"),
        };
        let silent = "HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(refused(asked(silent, false).await), 300);
        let told = "HTTP/1.1 503 Busy\r\nretry-after: 120\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(refused(asked(told, false).await), 120);
        assert_eq!(rest(Some("1")), RESTS.0);
        assert_eq!(rest(Some("99999999")), RESTS.1);
        assert_eq!(rest(Some("Wed, 21 Oct 2026 07:28:00 GMT")), REST);
    }

    #[tokio::test]
    async fn answers_that_are_no_address_are_bounded_nonsense() {
        let good = "HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n203.0.113.9\n";
        assert_eq!(asked(good, false).await, Ok(IpAddr::from([203, 0, 113, 9])));
        for (response, endless) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n<html>Hi</html>\n", false),
            ("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\n\r\n", true),
            ("HTTP/1.1 302 Found\r\nlocation: http://portal.example/\r\ncontent-length: 0\r\n\r\n", false),
        ] {
            let answer = asked(response, endless).await;
            assert!(
                matches!(answer, Err(NoAddress::Because(Reason::Malformed(_)))),
                "{response}: {answer:?}"
            );
        }
    }

    #[test]
    fn services_take_turns_and_one_that_rests_is_passed_over() {
        let service = |name: &str| EchoService::parse(&Service::new(name, "https://echo.example/")).unwrap();
        let services = ["a", "b", "c", "d", "e"].map(service);
        let asked = |round, resting: &str| -> String {
            turn(round, &services, |service| service.name != resting)
                .iter()
                .map(|s| s.name.as_str())
                .collect()
        };
        assert_eq!(asked(0, ""), "abc");
        assert_eq!(asked(1, ""), "bcd");
        assert_eq!(asked(2, "d"), "cea");
        assert_eq!(asked(9, ""), "eab");
        assert!(turn(3, &[], |_| true).is_empty());
    }
}
