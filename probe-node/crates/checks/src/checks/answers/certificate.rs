//! What the TLS server at an address proves to be: asked only about answers that nothing else explains. An address
//! that is a stranger's cannot prove to be the name that led there.

use crate::{
    checks::Inner,
    reason,
    tls::{self, Tls},
};
use futures::future::join_all;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    client::verify_server_name,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use sentinel_model::{Certificate, Outcome, Reason};
use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

/// Where the web's certificates are.
const HTTPS_PORT: u16 = 443;
/// One address may be down; a third would only cost connections.
const MAX_ADDRESSES: usize = 2;

/// What the servers at these addresses prove to be for a name, at most two of them asked, within half a budget. The
/// connections go the way all traffic goes; none is made to an address outside the internet, lest whoever answers names
/// could send us to the neighbours. One that is valid speaks for the answer.
pub(crate) async fn check(inner: &Inner, name: &str, addresses: &[IpAddr]) -> Outcome<Certificate> {
    let public = |address: &&IpAddr| !inner.bogons.iter().any(|range| range.contains(*address));
    let asked = addresses.iter().filter(public).take(MAX_ADDRESSES).map(|address| async move {
        let server = SocketAddr::new(*address, HTTPS_PORT);
        let shown = timeout(inner.budget / 2, shown(&inner.tls, name, server)).await;
        shown.unwrap_or(Err(Reason::TimedOut))
    });
    let shown = join_all(asked).await;
    let best = |wanted| shown.contains(&Ok(wanted)).then_some(wanted);
    let found = best(Certificate::Valid)
        .or_else(|| best(Certificate::WrongName))
        .or_else(|| best(Certificate::Untrusted));
    match (found, shown.into_iter().next()) {
        (Some(found), _) | (None, Some(Ok(found))) => Outcome::Measured(found),
        (None, Some(Err(reason))) => Outcome::Unknown(reason),
        (None, None) => Outcome::Unknown(Reason::Failed("there is no address on the internet to ask".into())),
    }
}

/// What one server shows, if it completes the handshake: only then does the certificate's key belong to it.
async fn shown(tls: &Tls, name: &str, server: SocketAddr) -> Result<Certificate, Reason> {
    let called = ServerName::try_from(name.to_owned());
    let called =
        called.map_err(|error| Reason::Failed(format!("\"{name}\" is no server's name: {error}")))?;
    let judge = Arc::new(Judge { inner: tls.verifier()?, verdict: Mutex::new(None) });
    let connector = TlsConnector::from(Arc::new(tls::client(judge.clone())?));
    let stream = TcpStream::connect(server).await.map_err(|error| reason::of_io(&error))?;
    let handshake = connector.connect(called, stream).await;
    handshake.map_err(|error| Reason::Failed(format!("no TLS there: {error}")))?;
    let verdict = *judge.verdict.lock().unwrap_or_else(PoisonError::into_inner);
    verdict.ok_or_else(|| Reason::Failed("the server showed no certificate".into()))
}

/// Lets every handshake come to its end and remembers what the certificate was worth. Nothing is ever sent over a
/// connection made this way.
#[derive(Debug)]
struct Judge {
    inner: Arc<dyn ServerCertVerifier>,
    verdict: Mutex<Option<Certificate>>,
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // The name first and by itself: a stranger's certificate is for another name, whoever vouches for it.
        let named = ParsedCertificate::try_from(end_entity)
            .and_then(|certificate| verify_server_name(&certificate, server_name));
        let verdict = match named {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Certificate::WrongName,
            Err(_) => Certificate::Untrusted,
            Ok(()) => {
                let chain =
                    self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
                match chain {
                    Ok(_) => Certificate::Valid,
                    Err(_) => Certificate::Untrusted,
                }
            }
        };
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = Some(verdict);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    use rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    };
    use std::net::Ipv4Addr;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    struct Authority {
        key: KeyPair,
        certificate: rcgen::Certificate,
    }

    impl Authority {
        fn new() -> Self {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let certificate = params.self_signed(&key).unwrap();
            Self { key, certificate }
        }

        /// A server with a certificate for this name.
        async fn server(&self, name: &str) -> SocketAddr {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            let certificate = params.signed_by(&key, &self.certificate, &self.key).unwrap();
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
            let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![certificate.der().clone()], key)
                .unwrap();
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let address = listener.local_addr().unwrap();
            let acceptor = TlsAcceptor::from(Arc::new(config));
            tokio::spawn(async move {
                let (stream, _) = listener.accept().await.unwrap();
                let _stream = acceptor.accept(stream).await;
            });
            address
        }
    }

    #[tokio::test]
    async fn the_name_and_the_authority_are_told_apart() {
        let (trusted, stranger) = (Authority::new(), Authority::new());
        let tls = Tls::trusting(trusted.certificate.der().clone());
        for (authority, name, expected) in [
            (&trusted, "www.example.org", Certificate::Valid),
            (&trusted, "www.example.net", Certificate::WrongName),
            (&stranger, "www.example.org", Certificate::Untrusted),
            (&stranger, "www.example.net", Certificate::WrongName),
        ] {
            let server = authority.server(name).await;
            assert_eq!(shown(&tls, "www.example.org", server).await, Ok(expected), "{name}");
        }
    }

    #[tokio::test]
    async fn without_a_handshake_nothing_is_known() {
        let tls = Tls::trusting(Authority::new().certificate.der().clone());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let server = listener.local_addr().unwrap();
        let (plain, asked) = (async || drop(listener.accept().await), shown(&tls, "www.example.org", server));
        let ((), shown_by_none) = futures::join!(plain(), asked);
        assert!(matches!(shown_by_none, Err(Reason::Failed(_))), "{shown_by_none:?}");
        drop(listener);
        let closed = shown(&tls, "www.example.org", server).await;
        assert!(matches!(closed, Err(Reason::Refused(_))), "{closed:?}");
    }
}
