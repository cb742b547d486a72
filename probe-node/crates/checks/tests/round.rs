//! Rounds: which services are asked for what, and which are not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test helpers may panic

mod support;

use hickory_resolver::proto::{
    op::{Message, ResponseCode},
    rr::{RData, Record, RecordType, rdata::A},
};
use sentinel_checks::{ResolverService, RoundPlan, Service, Settings};
use sentinel_model::{
    AnswerPath, AnswersSeen, Connectivity, ExitPath, Fact, Outcome, Reason, ResolverPath, RoutePurpose,
};
use std::{net::Ipv4Addr, time::Duration};
use support::{EPOCH, Machine, StunServer, checks, checks_on, exits, gathered, settings, target};
use tokio::net::UdpSocket;

/// Starts a DNS server that has one address for one name, refuses another, and denies the rest.
async fn dns_server() -> (String, tokio::task::JoinHandle<()>) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let server = tokio::spawn(async move {
        let mut buffer = [0; 1500];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            let request = Message::from_vec(&buffer[..length]).unwrap();
            let query = request.queries[0].clone();
            let mut response = request.into_response();
            match (query.name().to_string().as_str(), query.query_type()) {
                ("there.example.", RecordType::A) => {
                    let data = RData::A(A(Ipv4Addr::new(203, 0, 113, 80)));
                    response.add_answer(Record::from_rdata(query.name().clone(), 60, data));
                }
                ("there.example.", _) => {}
                ("refused.example.", _) => response.metadata.response_code = ResponseCode::Refused,
                _ => response.metadata.response_code = ResponseCode::NXDomain,
            }
            socket.send_to(&response.to_vec().unwrap(), from).await.unwrap();
        }
    });
    (address, server)
}

fn consenting() -> Settings {
    let mut settings = settings();
    settings.services.consent = true;
    settings
}

fn answers(facts: &[Fact]) -> Vec<&AnswersSeen> {
    facts.iter().filter_map(|fact| if let Fact::Answers(seen) = fact { Some(seen) } else { None }).collect()
}

async fn round(settings: Settings) -> Vec<Fact> {
    gathered(async |out| checks(settings).round(EPOCH, &RoundPlan::default(), out).await).await
}

#[tokio::test]
async fn a_public_resolver_is_asked_for_the_panel_by_its_name() {
    let (address, _server) = dns_server().await;
    let mut settings = consenting();
    settings.services.resolvers = vec![ResolverService::new("public-dns", &address)];
    settings.panel = ["there.example", "gone.example", "refused.example"].map(str::to_owned).to_vec();
    let facts = round(settings).await;
    let public = |name: &str| {
        let path = AnswerPath::Public("public-dns".into());
        let found = answers(&facts).into_iter().find(|seen| seen.path == path && seen.name == name);
        let answer = found.unwrap_or_else(|| panic!("{facts:?}")).answer.clone();
        answer.map(|answer| answer.addresses.iter().map(|seen| seen.address).collect::<Vec<_>>())
    };
    assert_eq!(public("there.example"), Outcome::Measured(vec![Ipv4Addr::new(203, 0, 113, 80).into()]));
    assert_eq!(public("gone.example"), Outcome::Measured(Vec::new()));
    assert!(matches!(public("refused.example"), Outcome::Unknown(Reason::Refused(_))));
    // The simulated machine has no resolver of its own, which is reported, not left out.
    let system: Vec<_> = answers(&facts).into_iter().filter(|seen| seen.path == AnswerPath::System).collect();
    assert_eq!(system.len(), 3);
    assert!(system.iter().all(|seen| matches!(seen.answer, Outcome::Unknown(Reason::Failed(_)))));
}

#[tokio::test]
async fn without_consent_no_public_service_is_contacted() {
    let stun = StunServer::start(None).await;
    let (https, dns) = (
        tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap(),
        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap(),
    );
    let mut settings = settings();
    settings.panel = vec!["there.example".into()];
    settings.services.stun = vec![Service::new("stun", &stun.address().to_string())];
    settings.services.https_echo =
        vec![Service::new("echo", &format!("https://{}/", https.local_addr().unwrap()))];
    settings.services.resolvers = vec![ResolverService::new("dns", &dns.local_addr().unwrap().to_string())];
    settings.services.whoami = vec![Service::new("who", "who.example")];

    // With consent, all of them are contacted ..
    let mut consented = settings.clone();
    consented.services.consent = true;
    let facts = round(consented).await;
    assert_eq!(exits(&facts).len(), 2, "{facts:?}");
    assert!(facts.iter().any(|fact| matches!(fact, Fact::Resolver(seen) if seen.zone == "who.example")));
    let soon = Duration::from_millis(200);
    let mut buffer = [0; 1500];
    assert!(tokio::time::timeout(soon, stun.request()).await.is_ok());
    assert!(tokio::time::timeout(soon, https.accept()).await.is_ok());
    assert!(tokio::time::timeout(soon, dns.recv(&mut buffer)).await.is_ok());
    while dns.try_recv(&mut buffer).is_ok() || stun.socket.try_recv(&mut buffer).is_ok() {}
    while tokio::time::timeout(soon, https.accept()).await.is_ok() {}

    // .. and without it, none is.
    let facts = round(settings).await;
    assert!(exits(&facts).is_empty(), "{facts:?}");
    assert!(!facts.iter().any(|fact| matches!(fact, Fact::Resolver(_))));
    assert!(tokio::time::timeout(soon, stun.request()).await.is_err());
    assert!(tokio::time::timeout(soon, https.accept()).await.is_err());
    assert!(tokio::time::timeout(soon, dns.recv(&mut buffer)).await.is_err());
}

#[tokio::test]
async fn a_public_stun_server_is_a_voice_in_its_own_network() {
    let server = StunServer::start(None).await;
    let mut settings = consenting();
    settings.services.stun = vec![Service::new("stun.example", &server.address().to_string())];
    tokio::spawn(server.serve(None));
    let facts = round(settings).await;
    let exit = exits(&facts)[0];
    assert_eq!((exit.path, exit.voice.name.as_str()), (ExitPath::Stun, "stun.example"));
    assert_eq!(exit.voice.network, exit.address.measured().unwrap().network());
}

#[tokio::test]
async fn an_echo_service_that_does_not_speak_tls_is_unknown_and_bounded() {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut settings = consenting();
    settings.services.https_echo =
        vec![Service::new("mute", &format!("https://{}/", listener.local_addr().unwrap()))];
    let started = std::time::Instant::now();
    let facts = round(settings).await; // accepted by the kernel, never answered
    let exit = exits(&facts)[0];
    assert_eq!((exit.path, &exit.address), (ExitPath::HttpsEcho, &Outcome::Unknown(Reason::TimedOut)));
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn every_path_to_a_canary_zone_is_reported_even_when_none_answers() {
    let plan = RoundPlan {
        witnesses: Vec::new(),
        canary_zones: vec!["c.probe.example".into()],
        ..RoundPlan::default()
    };
    let facts = gathered(async |out| checks(settings()).round(EPOCH, &plan, out).await).await;
    let seen = facts.iter().find_map(|fact| if let Fact::Resolver(seen) = fact { Some(seen) } else { None });
    let seen = seen.unwrap();
    assert_eq!((&seen.path, seen.zone.as_str()), (&ResolverPath::System, "c.probe.example"));
    assert!(matches!(seen.resolvers, Outcome::Unknown(_)));
}

#[tokio::test]
async fn routes_are_looked_up_for_witnesses_and_spread_and_having_none_is_offline() {
    let mut with_spread = settings();
    with_spread.spread = vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
    let witness = target("vps", "198.51.100.1:3478".parse().unwrap(), None);
    let plan = RoundPlan { witnesses: vec![witness], ..RoundPlan::default() };
    for (route, expected) in [
        (Machine::default().route, Connectivity::Routed),
        (Outcome::Unknown(Reason::Unreachable), Connectivity::Offline),
    ] {
        let machine = Machine { route, ..Machine::default() };
        let checks = checks_on(with_spread.clone(), machine);
        let facts = gathered(async |out| checks.local(EPOCH, &plan, out).await).await;
        let purposes: Vec<_> = facts
            .iter()
            .filter_map(|fact| {
                if let Fact::Route(seen) = fact { Some((seen.purpose, seen.destination)) } else { None }
            })
            .collect();
        assert_eq!(purposes.iter().filter(|(purpose, _)| *purpose == RoutePurpose::Spread).count(), 2);
        assert!(purposes.contains(&(RoutePurpose::Witness, "198.51.100.1".parse().unwrap())));
        assert_eq!(facts.last(), Some(&Fact::Connectivity(expected)));
    }
}
