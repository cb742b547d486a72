//! DNS over TLS and over HTTPS: only the resolver itself can answer, by a certificate the system trusts.
#![cfg(target_os = "linux")] // where `SSL_CERT_FILE` says what the system trusts
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests are tests

mod support;

use hickory_resolver::proto::{
    op::Message,
    rr::{RData, Record, RecordType, rdata::A},
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use sentinel_checks::{ResolverService, RoundPlan, Service};
use sentinel_model::{AnswerPath, DnsTransport, Fact, Outcome, Reason};
use std::{env, fs, net::Ipv4Addr, process::Command, sync::Arc};
use support::{EPOCH, checks, gathered, settings};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// Set in the process whose system trusts the authority with this key.
const KEY: &str = "SENTINEL_TEST_AUTHORITY";

/// An authority; the same for the same key.
fn authority(key: &KeyPair) -> rcgen::Certificate {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.self_signed(key).unwrap()
}

/// Runs this very test again in a process that trusts an authority of ours, whose key that process is given.
fn in_a_system_that_trusts_us(test: &str) -> Option<KeyPair> {
    if let Ok(key) = env::var(KEY) {
        return Some(KeyPair::from_pem(&key).unwrap());
    }
    let directory = tempfile::tempdir().unwrap();
    let (key, roots) = (KeyPair::generate().unwrap(), directory.path().join("roots.pem"));
    fs::write(&roots, authority(&key).pem()).unwrap();
    let run = Command::new(env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env("SSL_CERT_FILE", roots)
        .env(KEY, key.serialize_pem())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(
        run.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&run.stderr)
    );
    None
}

fn acceptor(authority_key: &KeyPair, name: &str, protocol: &[u8]) -> TlsAcceptor {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority(authority_key), authority_key).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![protocol.to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// Every name has this one address.
fn answer(request: &[u8]) -> Vec<u8> {
    let request = Message::from_vec(request).unwrap();
    let query = request.queries[0].clone();
    let mut response = request.into_response();
    if query.query_type() == RecordType::A {
        let data = RData::A(A(Ipv4Addr::new(203, 0, 113, 80)));
        response.add_answer(Record::from_rdata(query.name().clone(), 60, data));
    }
    response.to_vec().unwrap()
}

/// RFC 7858, as far as one client needs it.
async fn over_tls(mut stream: TlsStream<TcpStream>) {
    while let Ok(length) = stream.read_u16().await {
        let mut request = vec![0; length.into()];
        stream.read_exact(&mut request).await.unwrap();
        let response = answer(&request);
        stream.write_u16(u16::try_from(response.len()).unwrap()).await.unwrap();
        stream.write_all(&response).await.unwrap();
        stream.flush().await.unwrap();
    }
}

/// RFC 8484, as far as one client needs it.
async fn over_https(stream: TlsStream<TcpStream>) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/dns-query"));
        tokio::spawn(async move {
            let mut body = request.into_body();
            let mut bytes = Vec::new();
            while let Some(Ok(chunk)) = body.data().await {
                bytes.extend_from_slice(&chunk);
            }
            let response = http::Response::builder().header("content-type", "application/dns-message");
            let mut stream = respond.send_response(response.body(()).unwrap(), false).unwrap();
            stream.send_data(answer(&bytes).into(), true).unwrap();
        });
    }
}

/// A resolver that serves one protocol under a certificate for this name; its port.
async fn server<F>(acceptor: TlsAcceptor, serve: fn(TlsStream<TcpStream>) -> F) -> u16
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(stream) = acceptor.accept(stream).await {
                tokio::spawn(serve(stream));
            }
        }
    });
    port
}

/// What a round finds of a resolver of which only the port for TLS or for HTTPS is open.
async fn round(tls: Option<u16>, https: Option<u16>) -> Vec<Fact> {
    let mut settings = settings();
    settings.services.consent = true;
    settings.services.whoami = vec![Service::new("who", "who.example")];
    settings.panel = vec!["there.example".into()];
    settings.services.resolvers = vec![ResolverService {
        tls: tls.map(|port| format!("dns.example:{port}")),
        https: https.map(|port| format!("https://dns.example:{port}/dns-query")),
        ..ResolverService::new("public", "127.0.0.1:1")
    }];
    gathered(async |out| checks(settings).round(EPOCH, &RoundPlan::default(), out).await).await
}

fn public_answer(facts: &[Fact]) -> Outcome<Vec<String>> {
    let seen = facts.iter().find_map(|fact| match fact {
        Fact::Answers(seen) if seen.path == AnswerPath::Public("public".into()) => Some(seen),
        _ => None,
    });
    seen.unwrap()
        .answer
        .clone()
        .map(|answer| answer.addresses.iter().map(|seen| seen.address.to_string()).collect())
}

#[test]
fn only_the_resolver_itself_can_answer() {
    let Some(key) = in_a_system_that_trusts_us("only_the_resolver_itself_can_answer") else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let expected = Outcome::Measured(vec!["203.0.113.80".to_owned()]);
        let tls = server(acceptor(&key, "dns.example", b"dot"), over_tls).await;
        let https = server(acceptor(&key, "dns.example", b"h2"), over_https).await;
        assert_eq!(public_answer(&round(Some(tls), None).await), expected, "over TLS");
        let facts = round(Some(tls), Some(https)).await;
        assert_eq!(public_answer(&facts), expected, "over HTTPS");
        let ways = facts.iter().find_map(|fact| match fact {
            Fact::Interception(seen) => Some(&seen.transports),
            _ => None,
        });
        let ways: Vec<_> = ways.unwrap().iter().map(|way| way.transport).collect();
        let all = [DnsTransport::Udp, DnsTransport::Tcp, DnsTransport::Tls, DnsTransport::Https];
        assert_eq!(ways, all);

        // A certificate for another name, and one of an authority nobody trusts.
        let stranger = KeyPair::generate().unwrap();
        for acceptor in [acceptor(&key, "other.example", b"h2"), acceptor(&stranger, "dns.example", b"h2")] {
            let https = server(acceptor, over_https).await;
            let answer = public_answer(&round(None, Some(https)).await);
            assert!(matches!(answer, Outcome::Unknown(Reason::Failed(_))), "{answer:?}");
        }
    });
}
