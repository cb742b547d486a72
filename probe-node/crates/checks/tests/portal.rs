//! Captive portals, against HTTP servers on the loopback interface.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test helpers may panic

mod support;

use sentinel_checks::{PortalService, RoundPlan};
use sentinel_model::{Connectivity, Fact, Outcome, Reason};
use std::{net::Ipv4Addr, time::Duration};
use support::{EPOCH, Machine, checks_on, gathered, settings};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

const NO_CONTENT: &str = "HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n";
const LOGIN: &str = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/login\r\ncontent-length: 0\r\n\r\n";

/// Starts a server that gives the same response to every request, and returns its URL.
async fn server(answer: String) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 2048];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    url
}

/// Runs a round and returns the connectivity it reports, in order.
async fn reported(answers: &[&str], ask_portal: bool, consent: bool, machine: Machine) -> Vec<Connectivity> {
    let mut settings = settings();
    settings.services.consent = consent;
    for answer in answers {
        let url = server((*answer).to_owned()).await;
        settings.services.portal.push(PortalService::new("portal", &url, Some(204), None));
    }
    let plan = RoundPlan { ask_portal, ..RoundPlan::default() };
    let checks = checks_on(settings, machine);
    let facts = gathered(async |out| checks.round(EPOCH, &plan, out).await).await;
    let connectivity = |fact| if let Fact::Connectivity(found) = fact { Some(found) } else { None };
    facts.into_iter().filter_map(connectivity).collect()
}

#[tokio::test]
async fn a_redirect_in_place_of_the_known_response_is_a_portal_and_is_the_only_report_of_the_round() {
    assert_eq!(reported(&[LOGIN], true, true, Machine::default()).await, [Connectivity::Portal]);
    assert_eq!(reported(&[LOGIN, LOGIN], true, true, Machine::default()).await, [Connectivity::Portal]);
}

#[tokio::test]
async fn the_known_response_means_online_even_beside_a_false_one() {
    assert_eq!(reported(&[NO_CONTENT], true, true, Machine::default()).await, [Connectivity::Online]);
    assert_eq!(reported(&[LOGIN, NO_CONTENT], true, true, Machine::default()).await, [Connectivity::Online]);
}

#[tokio::test]
async fn without_any_response_connectivity_is_not_reported() {
    assert_eq!(reported(&["not HTTP"], true, true, Machine::default()).await, []);
}

#[tokio::test]
async fn an_endless_page_is_a_portal_and_is_not_read_to_the_end() {
    let page = format!("HTTP/1.1 204 No Content\r\n\r\n{}", "x".repeat(1024));
    let endless = format!("HTTP/1.1 200 OK\r\ncontent-length: 10000000\r\n\r\n{}", "x".repeat(256 * 1024));
    let answers = [endless.as_str()];
    let round = reported(&answers, true, true, Machine::default());
    let found = tokio::time::timeout(Duration::from_secs(2), round).await.expect("bounded");
    assert_eq!(found, [Connectivity::Portal]);
    assert_eq!(reported(&[&page], true, true, Machine::default()).await, [Connectivity::Online]);
}

#[tokio::test]
async fn no_service_is_asked_without_need_consent_or_a_route() {
    assert_eq!(reported(&[LOGIN], false, true, Machine::default()).await, [Connectivity::Routed]);
    assert_eq!(reported(&[LOGIN], true, false, Machine::default()).await, [Connectivity::Routed]);
    let mut settings = settings();
    settings.spread = vec!["192.0.2.1".parse().unwrap()];
    settings.services.consent = true;
    let url = server(NO_CONTENT.to_owned()).await;
    settings.services.portal.push(PortalService::new("portal", &url, Some(204), None));
    let machine = Machine { route: Outcome::Unknown(Reason::Unreachable), ..Machine::default() };
    let plan = RoundPlan { ask_portal: true, ..RoundPlan::default() };
    let checks = checks_on(settings, machine);
    let facts = gathered(async |out| checks.round(EPOCH, &plan, out).await).await;
    let found: Vec<_> = facts.iter().filter(|fact| matches!(fact, Fact::Connectivity(_))).collect();
    assert_eq!(found, [&Fact::Connectivity(Connectivity::Offline)]);
}
