//! Hostile DNS servers: the result is undetermined with a specific reason, in bounded time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test helpers may panic

mod support;

use hickory_resolver::proto::{
    op::{Message, Query, ResponseCode},
    rr::{Name, RData, Record, RecordType, rdata::TXT},
};
use sentinel_checks::{ResolverService, RoundPlan, Service};
use sentinel_model::{DnsTransport, Fact, Outcome, Reason, TransportSeen};
use std::{
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};
use support::{EPOCH, checks, gathered, settings};
use tokio::net::UdpSocket;

/// Returns the datagrams that a server sends for a request, in order.
type Behaviour = fn(&Message, &[u8]) -> Vec<Vec<u8>>;

fn answer(request: &Message, egress: &str) -> Message {
    let name = request.queries[0].name().clone();
    let mut response = request.clone().into_response();
    response.add_answer(Record::from_rdata(name, 60, RData::TXT(TXT::new(vec![egress.to_owned()]))));
    response
}

/// Runs a round with a public resolver of this behaviour and returns the result over UDP.
///
/// With `from_elsewhere`, the answers come from another port.
async fn ask_over_udp(behaviour: Behaviour, from_elsewhere: bool) -> TransportSeen {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let elsewhere = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut settings = settings();
    settings.services.consent = true;
    settings.services.whoami = vec![Service::new("who", "who.example")];
    settings.services.resolvers =
        vec![ResolverService::new("public", &socket.local_addr().unwrap().to_string())];
    let server = tokio::spawn(async move {
        let mut buffer = [0; 1500];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            let request = Message::from_vec(&buffer[..length]).unwrap();
            for datagram in behaviour(&request, &buffer[..length]) {
                let sender = if from_elsewhere { &elsewhere } else { &socket };
                sender.send_to(&datagram, from).await.unwrap();
            }
        }
    });
    let began = Instant::now();
    let facts = gathered(async |out| checks(settings).round(EPOCH, &RoundPlan::default(), out).await).await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    server.abort();
    let seen = facts.into_iter().find_map(|fact| match fact {
        Fact::Interception(seen) => Some(seen),
        _ => None,
    });
    let seen = seen.unwrap();
    assert_eq!(seen.resolver, "public");
    seen.transports.into_iter().find(|it| it.transport == DnsTransport::Udp).unwrap()
}

fn egress_addresses(seen: &TransportSeen) -> Outcome<Vec<IpAddr>> {
    seen.egress_addresses.clone().map(|egress| egress.into_iter().map(|it| it.address).collect())
}

#[tokio::test]
async fn an_honest_resolver_answers_once() {
    let seen =
        ask_over_udp(|request, _| vec![answer(request, "203.0.113.53").to_vec().unwrap()], false).await;
    assert_eq!(egress_addresses(&seen), Outcome::Measured(vec!["203.0.113.53".parse().unwrap()]));
    assert!(!seen.second_answer);
}

#[tokio::test]
async fn a_second_answer_counts_only_if_it_differs() {
    let twice = |request: &Message, _: &[u8]| {
        ["198.51.100.9", "203.0.113.53"].map(|egress| answer(request, egress).to_vec().unwrap()).to_vec()
    };
    let seen = ask_over_udp(twice, false).await;
    assert!(seen.second_answer);
    assert_eq!(
        egress_addresses(&seen),
        Outcome::Measured(vec!["198.51.100.9".parse().unwrap()]),
        "the first answer counts"
    );

    let repeated = |request: &Message, _: &[u8]| vec![answer(request, "203.0.113.53").to_vec().unwrap(); 2];
    assert!(!ask_over_udp(repeated, false).await.second_answer);
}

#[tokio::test]
async fn answers_that_cannot_be_decoded_are_malformed() {
    let behaviours: [(&str, Behaviour); 5] = [
        ("garbage", |_, request| vec![[&request[..2], &[0xff; 40][..]].concat()]),
        ("cut off", |_, request| vec![request[..7].to_vec()]),
        ("truncated", |request, _| {
            let mut response = answer(request, "203.0.113.53");
            response.metadata.truncation = true;
            vec![response.to_vec().unwrap()]
        }),
        ("oversized", |request, _| {
            let mut bytes = answer(request, "203.0.113.53").to_vec().unwrap();
            bytes.resize(9000, 0);
            vec![bytes]
        }),
        // A question whose name is a pointer to itself.
        ("compression loop", |_, request| {
            vec![[&request[..2], &[0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 16, 0, 1]].concat()]
        }),
    ];
    for (what, behaviour) in behaviours {
        let seen = ask_over_udp(behaviour, false).await;
        assert!(
            matches!(seen.egress_addresses, Outcome::Unknown(Reason::Malformed(_))),
            "{what}: {:?}",
            seen.egress_addresses
        );
        assert!(!seen.second_answer);
    }
}

#[tokio::test]
async fn answers_to_another_question_are_ignored() {
    let wrong_id: Behaviour = |request, _| {
        let mut response = answer(request, "203.0.113.53");
        response.metadata.id = response.metadata.id.wrapping_add(1);
        vec![response.to_vec().unwrap()]
    };
    let other_question: Behaviour = |request, _| {
        let mut response = answer(request, "203.0.113.53");
        let name = Name::from_ascii("other.example.").unwrap();
        response.queries = vec![Query::query(name, RecordType::TXT)];
        vec![response.to_vec().unwrap()]
    };
    let question_itself: Behaviour = |_, request| vec![request.to_vec()];
    for behaviour in [wrong_id, other_question, question_itself] {
        assert_eq!(ask_over_udp(behaviour, false).await.egress_addresses, Outcome::Unknown(Reason::TimedOut));
    }
    let proper: Behaviour = |request, _| vec![answer(request, "203.0.113.53").to_vec().unwrap()];
    assert_eq!(
        ask_over_udp(proper, true).await.egress_addresses,
        Outcome::Unknown(Reason::TimedOut),
        "from another port"
    );
}

#[tokio::test]
async fn a_refusal_and_an_answer_without_an_address_are_distinguished() {
    let refused = ask_over_udp(
        |request, _| {
            let mut response = request.clone().into_response();
            response.metadata.response_code = ResponseCode::Refused;
            vec![response.to_vec().unwrap()]
        },
        false,
    )
    .await;
    assert!(matches!(refused.egress_addresses, Outcome::Unknown(Reason::Refused(_))));
    let html = ask_over_udp(|request, _| vec![answer(request, "<html>").to_vec().unwrap()], false).await;
    assert!(matches!(html.egress_addresses, Outcome::Unknown(Reason::Malformed(_))));
}
