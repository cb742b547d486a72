//! DNS over TLS and over HTTPS: only a resolver with a trusted certificate can answer.
#![cfg(target_os = "linux")] // where `SSL_CERT_FILE` sets the trusted authorities
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test helpers may panic

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

/// Environment variable with the authority's key, set in the process that trusts it.
const KEY: &str = "SENTINEL_TEST_AUTHORITY";

/// Creates a certificate authority, the same for the same key.
fn authority(key: &KeyPair) -> rcgen::Certificate {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.self_signed(key).unwrap()
}

/// Runs the named test again in a process that trusts a test authority.
///
/// Returns the authority's key in that process, and `None` in this one.
fn rerun_with_trusted_authority(test: &str) -> Option<KeyPair> {
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
    let output = String::from_utf8_lossy(&run.stdout);
    assert!(
        run.status.success() && output.contains("1 passed"),
        "{output}{}",
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

/// Answers with the same address for every name.
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

/// Serves one connection of DNS over TLS (RFC 7858).
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

/// Serves one connection of DNS over HTTPS (RFC 8484).
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

/// Starts a resolver that serves one protocol, and returns its port.
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

/// Runs a round against a resolver of which only the ports for TLS and HTTPS may be open.
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
    let Some(key) = rerun_with_trusted_authority("only_the_resolver_itself_can_answer") else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let expected = Outcome::Measured(vec!["203.0.113.80".to_owned()]);
        let tls = server(acceptor(&key, "dns.example", b"dot"), over_tls).await;
        let https = server(acceptor(&key, "dns.example", b"h2"), over_https).await;
        assert_eq!(public_answer(&round(Some(tls), None).await), expected, "over TLS");
        let facts = round(Some(tls), Some(https)).await;
        assert_eq!(public_answer(&facts), expected, "over HTTPS");
        let transports = facts.iter().find_map(|fact| match fact {
            Fact::Interception(seen) => Some(&seen.transports),
            _ => None,
        });
        let transports: Vec<_> = transports.unwrap().iter().map(|seen| seen.transport).collect();
        let all = [DnsTransport::Udp, DnsTransport::Tcp, DnsTransport::Tls, DnsTransport::Https];
        assert_eq!(transports, all);

        // A certificate for another name, and one of an untrusted authority.
        let stranger = KeyPair::generate().unwrap();
        for acceptor in [acceptor(&key, "other.example", b"h2"), acceptor(&stranger, "dns.example", b"h2")] {
            let https = server(acceptor, over_https).await;
            let answer = public_answer(&round(None, Some(https)).await);
            assert!(matches!(answer, Outcome::Unknown(Reason::Failed(_))), "{answer:?}");
        }
    });
}
