//! The exit as HTTPS services see it whose response is the caller's address.
//!
//! A few services are asked in each round, in turn. One that refuses is left alone for a while.

use super::voice::{accept_exit, reject_excluded, report_exit, service_voice};
use crate::{
    context::Context,
    own_lookups::ServiceNames,
    platform::PacketKind,
    protocols::http::{HttpClients, HttpResponse},
    reason,
    reporter::Reporter,
    services::echo::EchoService,
};
use futures::future::join_all;
use reqwest::StatusCode;
use sentinel_model::{ExitPath, Family, Reason};
use std::{
    net::IpAddr,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

/// The longest body that is read; an address takes at most 45 characters.
const MAX_BODY: usize = 256;
/// Services asked per round: enough for a majority.
const PER_ROUND: usize = 3;
/// How long a service that refused is left alone, unless it says for how long.
const DEFAULT_BACK_OFF: Duration = Duration::from_mins(5);
/// The shortest back-off a service may ask for; a shorter one would only be refused again.
const MIN_BACK_OFF: Duration = Duration::from_mins(1);
/// The longest back-off a service may ask for, so that a mistake of its does not last.
const MAX_BACK_OFF: Duration = Duration::from_hours(1);

/// Why a service reported no address.
#[derive(Debug, PartialEq, Eq)]
enum EchoError {
    /// It refused, and is to be left alone for this long.
    Refused(Reason, Duration),
    /// It could not be reached, or its response is malformed.
    Failed(Reason),
}

/// Asks the services whose turn it is in both families, all at once.
pub(crate) async fn run(context: &Context, names: &ServiceNames, reporter: &Reporter) {
    let Some(clients) = &context.http else { return };
    let round = context.echo_round.fetch_add(1, Ordering::Relaxed);
    let may_ask = |service: &EchoService| context.rate_limiter.may_ask(&service.name, Instant::now());
    let services = select_services(round, &context.echo_services, may_ask);
    let asks = services.into_iter().flat_map(|service| Family::ALL.map(|family| (service, family)));
    join_all(asks.map(|(service, family)| async move {
        let (found_at, echoed) = match service.host.locate(family, names).await {
            Ok(Some(at)) => (Some(at), ask(context, clients, service, at).await),
            Ok(None) => return,
            Err(reason) => (None, Err(EchoError::Failed(reason))),
        };
        let echoed = echoed.map_err(|error| match error {
            EchoError::Refused(reason, back_off) => {
                context.rate_limiter.back_off(&service.name, Instant::now() + back_off);
                reason
            }
            EchoError::Failed(reason) => reason,
        });
        let voice = service_voice(context, (&service.name, &service.host), family, found_at);
        let seen = reason::outcome(echoed.and_then(|address| accept_exit(context, family, address)));
        report_exit(
            context,
            found_at.map(PacketKind::web),
            voice,
            ExitPath::HttpsEcho,
            (family, seen),
            reporter,
        )
        .await;
    }))
    .await;
}

async fn ask(
    context: &Context,
    clients: &HttpClients,
    service: &EchoService,
    at: IpAddr,
) -> Result<IpAddr, EchoError> {
    reject_excluded(context, at).map_err(EchoError::Failed)?;
    let response = clients.get(&service.url, at, MAX_BODY, context.budget).await;
    echoed_address(&response.map_err(EchoError::Failed)?)
}

/// Returns the next few services that may be asked, starting with a different one each round.
fn select_services(
    round: usize,
    services: &[EchoService],
    may_ask: impl Fn(&EchoService) -> bool,
) -> Vec<&EchoService> {
    let (tail, head) = services.split_at(round % services.len().max(1));
    head.iter().chain(tail).filter(|service| may_ask(service)).take(PER_ROUND).collect()
}

/// Returns the address in a response.
fn echoed_address(response: &HttpResponse) -> Result<IpAddr, EchoError> {
    let status = response.status;
    if status == StatusCode::OK {
        return parse_body(&response.body).map_err(EchoError::Failed);
    }
    if status.is_client_error() || status.is_server_error() {
        let back_off = back_off(response.retry_after.as_deref());
        return Err(EchoError::Refused(Reason::Refused(format!("HTTP {status}")), back_off));
    }
    Err(EchoError::Failed(Reason::Malformed(format!("HTTP {status} instead of an address"))))
}

/// Returns how long a service is left alone, from its Retry-After (RFC 9110, section 10.2.3).
///
/// Only seconds are understood. A date counts as absent, because it would have to be compared with
/// a clock that is for display only.
fn back_off(retry_after: Option<&str>) -> Duration {
    let wanted = retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    wanted.map_or(DEFAULT_BACK_OFF, |wanted| wanted.clamp(MIN_BACK_OFF, MAX_BACK_OFF))
}

/// Parses the body of a response, which should be an address only.
pub(crate) fn parse_body(body: &[u8]) -> Result<IpAddr, Reason> {
    let text = str::from_utf8(body).map_err(|_| Reason::Malformed("the body is not text".into()))?;
    text.trim().parse().map_err(|_| Reason::Malformed("the body is not an address".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{protocols::tls::Tls, settings::Service};
    use reqwest::Url;
    use std::net::Ipv4Addr;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    #[test]
    fn only_a_bare_address_is_accepted() {
        assert_eq!(parse_body(b"203.0.113.9\n"), Ok(IpAddr::from([203, 0, 113, 9])));
        assert_eq!(parse_body(b" 2001:db8::7 "), Ok("2001:db8::7".parse().unwrap()));
        for bad in [
            &b""[..],
            b"<html>203.0.113.9</html>",
            b"203.0.113.9 198.51.100.1",
            b"203.0.113.0/24",
            &[0xff, 0xfe],
        ] {
            assert!(matches!(parse_body(bad), Err(Reason::Malformed(_))), "{bad:?}");
        }
    }

    /// Returns what is made of a server's response, sent with an endless body if `endless`.
    async fn ask_server(response: &'static str, endless: bool) -> Result<IpAddr, EchoError> {
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
        let clients = HttpClients::new(budget, &Tls::default()).unwrap();
        let response = clients.get(&url, Ipv4Addr::LOCALHOST.into(), MAX_BODY, budget).await;
        response.map_err(EchoError::Failed).and_then(|response| echoed_address(&response))
    }

    #[tokio::test]
    async fn a_refusal_sets_how_long_the_service_is_left_alone() {
        let back_off_of = |answer| match answer {
            Err(EchoError::Refused(Reason::Refused(_), back_off)) => back_off.as_secs(),
            other => panic!("{other:?}"),
        };
        let without_header = "HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(back_off_of(ask_server(without_header, false).await), 300);
        let with_header = "HTTP/1.1 503 Busy\r\nretry-after: 120\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(back_off_of(ask_server(with_header, false).await), 120);
        assert_eq!(back_off(Some("1")), MIN_BACK_OFF);
        assert_eq!(back_off(Some("99999999")), MAX_BACK_OFF);
        assert_eq!(back_off(Some("Wed, 21 Oct 2026 07:28:00 GMT")), DEFAULT_BACK_OFF);
    }

    #[tokio::test]
    async fn responses_without_an_address_are_malformed_and_reading_them_is_bounded() {
        let good = "HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n203.0.113.9\n";
        assert_eq!(ask_server(good, false).await, Ok(IpAddr::from([203, 0, 113, 9])));
        for (response, endless) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n<html>Hi</html>\n", false),
            ("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\n\r\n", true),
            ("HTTP/1.1 302 Found\r\nlocation: http://portal.example/\r\ncontent-length: 0\r\n\r\n", false),
        ] {
            let answer = ask_server(response, endless).await;
            assert!(matches!(answer, Err(EchoError::Failed(Reason::Malformed(_)))), "{response}: {answer:?}");
        }
    }

    #[test]
    fn services_take_turns_and_one_that_is_backing_off_is_skipped() {
        let service = |name: &str| EchoService::parse(&Service::new(name, "https://echo.example/")).unwrap();
        let services = ["a", "b", "c", "d", "e"].map(service);
        let selected = |round, backing_off: &str| -> String {
            select_services(round, &services, |service| service.name != backing_off)
                .iter()
                .map(|s| s.name.as_str())
                .collect()
        };
        assert_eq!(selected(0, ""), "abc");
        assert_eq!(selected(1, ""), "bcd");
        assert_eq!(selected(2, "d"), "cea");
        assert_eq!(selected(9, ""), "eab");
        assert!(select_services(3, &[], |_| true).is_empty());
    }
}
