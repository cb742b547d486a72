//! Beacons against STUN servers on the loopback interface, honest and hostile.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test helpers may panic

mod support;

use sentinel_model::{ExitPath, Family, Millis, Outcome, Reason};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};
use support::{
    BUDGET, EPOCH, StunServer, because, checks, credential, exits, gathered, round_trips, settings, target,
};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[tokio::test]
async fn a_signed_exchange_yields_the_exit_and_the_round_trip() {
    let server = StunServer::start(Some("s3cret")).await;
    let targets = [target("vps", server.address(), Some(credential("s3cret")))];
    tokio::spawn(server.serve(Some("s3cret")));
    let facts = gathered(async |out| checks(settings()).beacon(EPOCH, &targets, out).await).await;
    let [exit] = exits(&facts)[..] else { panic!("{facts:?}") };
    let seen = exit.address.measured().unwrap();
    assert_eq!((exit.family, exit.path, seen.address), (Family::V4, ExitPath::Beacon, LOOPBACK));
    assert_eq!(seen.owner.as_ref().unwrap().name, "Example");
    let [trip] = round_trips(&facts)[..] else { panic!("{facts:?}") };
    assert_eq!(trip.exit.as_ref(), Some(seen));
    assert!(trip.rtt.0 > 0 && Duration::from_micros(trip.rtt.0.into()) < BUDGET.duration());
}

#[tokio::test]
async fn a_mapped_address_that_is_not_public_is_not_an_exit_but_still_a_round_trip() {
    let server = StunServer::start(None).await;
    let targets = [target("neighbour", server.address(), None)];
    tokio::spawn(server.serve(None));
    let mut settings = settings();
    settings.bogons = vec!["127.0.0.0/8".parse().unwrap()];
    let facts = gathered(async |out| checks(settings).beacon(EPOCH, &targets, out).await).await;
    assert_eq!(because(&exits(&facts)[0].address), &Reason::Malformed("private address 127.0.0.1".into()));
    assert_eq!(round_trips(&facts)[0].exit, None);
}

#[tokio::test]
async fn a_stalled_server_times_out_within_the_budget_and_delays_no_other() {
    let stalled = StunServer::start(None).await;
    let honest = StunServer::start(None).await;
    let targets = [target("stalled", stalled.address(), None), target("honest", honest.address(), None)];
    tokio::spawn(honest.serve(None));
    let started = Instant::now();
    let facts = gathered(async |out| checks(settings()).beacon(EPOCH, &targets, out).await).await;
    assert!(started.elapsed() < BUDGET.duration() + Duration::from_millis(300), "{:?}", started.elapsed());
    let exits = exits(&facts);
    // The honest server's result did not wait for the other.
    assert_eq!(exits[0].voice.name, "honest");
    assert_eq!(exits[0].address.measured().unwrap().address, LOOPBACK);
    assert_eq!(exits[1].address, Outcome::Unknown(Reason::TimedOut));
}

#[tokio::test]
async fn a_lost_request_is_sent_again_and_the_round_trip_is_that_of_the_second_request() {
    let server = StunServer::start(None).await;
    let targets = [target("lossy", server.address(), None)];
    tokio::spawn(async move {
        let _lost = server.request().await;
        server.serve(None).await;
    });
    let facts = gathered(async |out| checks(settings()).beacon(EPOCH, &targets, out).await).await;
    assert!(exits(&facts)[0].address.measured().is_some());
    let rtt = Duration::from_micros(round_trips(&facts)[0].rtt.0.into());
    assert!(rtt < BUDGET.duration() / 3, "{rtt:?} includes the wait for the lost request");
}

#[tokio::test]
async fn an_answer_signed_with_another_key_or_not_at_all_is_malformed() {
    for (password, cause) in [(Some("guess"), "its signature is wrong"), (None, "it is not signed")] {
        let server = StunServer::start(Some("s3cret")).await;
        let targets = [target("forger", server.address(), Some(credential("s3cret")))];
        tokio::spawn(server.serve(password));
        let facts = gathered(async |out| checks(settings()).beacon(EPOCH, &targets, out).await).await;
        assert_eq!(because(&exits(&facts)[0].address), &Reason::Malformed(cause.into()));
        assert!(round_trips(&facts).is_empty());
    }
}

#[tokio::test]
async fn a_forger_who_answers_first_does_not_silence_the_witness() {
    let server = StunServer::start(Some("s3cret")).await;
    let targets = [target("contested", server.address(), Some(credential("s3cret")))];
    tokio::spawn(async move {
        let (request, from) = server.request().await;
        let home = SocketAddr::from(([198, 51, 100, 142], 1));
        for bad in [StunServer::response(&request, home, Some("guess")), b"noise".to_vec(), Vec::new()] {
            server.socket.send_to(&bad, from).await.unwrap();
        }
        let good = StunServer::response(&request, from, Some("s3cret"));
        server.socket.send_to(&good, from).await.unwrap();
    });
    let facts = gathered(async |out| checks(settings()).beacon(EPOCH, &targets, out).await).await;
    assert_eq!(exits(&facts)[0].address.measured().unwrap().address, LOOPBACK);
}

#[tokio::test]
async fn a_flood_of_noise_ends_the_exchange_early() {
    let server = StunServer::start(None).await;
    let targets = [target("flood", server.address(), None)];
    tokio::spawn(async move {
        let (_, from) = server.request().await;
        for _ in 0..200 {
            let _ = server.socket.send_to(b"noise", from).await;
        }
    });
    let mut settings = settings();
    settings.timeout = Millis::secs(30);
    let started = Instant::now();
    let facts = gathered(async |out| checks(settings).beacon(EPOCH, &targets, out).await).await;
    assert!(matches!(because(&exits(&facts)[0].address), Reason::Malformed(_)));
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn an_exchange_with_a_closed_port_is_refused_at_once() {
    let closed = StunServer::start(None).await.address();
    let targets = [target("closed", closed, None)];
    let started = Instant::now();
    let facts = gathered(async |out| checks(settings()).beacon(EPOCH, &targets, out).await).await;
    assert!(matches!(because(&exits(&facts)[0].address), Reason::Refused(_)), "{facts:?}");
    assert!(started.elapsed() < BUDGET.duration());
}
