//! Checks whether the servers at a name's addresses can prove that they serve the name.
//!
//! Used only for answers that nothing else explains: the server at a falsified address has no valid
//! certificate for the name.

use crate::{
    context::Context,
    protocols::tls::{self, Tls},
    reason,
};
use futures::future::join_all;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    client::verify_server_name,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use sentinel_model::{Certificate, Outcome, Reason, is_within};
use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

/// The port on which the certificate is requested.
const HTTPS_PORT: u16 = 443;
/// The most addresses asked: one may be down, and a third would only cost connections.
const MAX_ADDRESSES: usize = 2;

/// Returns the best certificate for a name that servers at these addresses present.
///
/// At most two servers are asked, within half a budget. The connections follow the system's routes.
/// None is made to an address that is not public: a false answer must not direct connections at the
/// local network.
pub(super) async fn check(context: &Context, name: &str, addresses: &[IpAddr]) -> Outcome<Certificate> {
    let public = addresses.iter().filter(|address| !is_within(**address, &context.bogons));
    let presented = join_all(public.take(MAX_ADDRESSES).map(|address| async move {
        let server = SocketAddr::new(*address, HTTPS_PORT);
        let presented = timeout(context.budget / 2, fetch(&context.tls, name, server)).await;
        presented.unwrap_or(Err(Reason::TimedOut))
    }))
    .await;
    let best = |wanted| presented.contains(&Ok(wanted)).then_some(wanted);
    let found = best(Certificate::Valid)
        .or_else(|| best(Certificate::WrongName))
        .or_else(|| best(Certificate::Untrusted));
    match (found, presented.into_iter().next()) {
        (Some(found), _) | (None, Some(Ok(found))) => Outcome::Measured(found),
        (None, Some(Err(reason))) => Outcome::Unknown(reason),
        (None, None) => Outcome::Unknown(Reason::Failed("none of its addresses is public".into())),
    }
}

/// Returns what the certificate of one server is worth.
///
/// The handshake must complete, because only then the server has proved that it holds the
/// certificate's key.
async fn fetch(tls: &Tls, name: &str, server: SocketAddr) -> Result<Certificate, Reason> {
    let server_name = ServerName::try_from(name.to_owned())
        .map_err(|error| Reason::Failed(format!("\"{name}\" is not a server's name: {error}")))?;
    let verifier = Arc::new(RecordingVerifier { system: tls.verifier()?, recorded: Mutex::new(None) });
    let connector = TlsConnector::from(Arc::new(tls::client_with_verifier(verifier.clone())?));
    let stream = TcpStream::connect(server).await.map_err(|error| reason::of_io(&error))?;
    let handshake = connector.connect(server_name, stream).await;
    handshake.map_err(|error| Reason::Failed(format!("the server completed no TLS handshake: {error}")))?;
    let recorded = *verifier.recorded.lock().unwrap_or_else(PoisonError::into_inner);
    recorded.ok_or_else(|| Reason::Failed("the server presented no certificate".into()))
}

/// Accepts every certificate and records what it is worth.
///
/// This lets the handshake complete. No data is ever sent over a connection made this way.
#[derive(Debug)]
struct RecordingVerifier {
    system: Arc<dyn ServerCertVerifier>,
    recorded: Mutex<Option<Certificate>>,
}

impl ServerCertVerifier for RecordingVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // The name comes first: a certificate for another name proves another owner, whoever issued
        // it.
        let name_matches = ParsedCertificate::try_from(end_entity)
            .and_then(|certificate| verify_server_name(&certificate, server_name));
        let worth = match name_matches {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Certificate::WrongName,
            Err(_) => Certificate::Untrusted,
            Ok(()) => {
                let chain = self.system.verify_server_cert(
                    end_entity,
                    intermediates,
                    server_name,
                    ocsp_response,
                    now,
                );
                match chain {
                    Ok(_) => Certificate::Valid,
                    Err(_) => Certificate::Untrusted,
                }
            }
        };
        *self.recorded.lock().unwrap_or_else(PoisonError::into_inner) = Some(worth);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.system.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.system.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.system.supported_verify_schemes()
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

        /// Starts a server with a certificate for this name.
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
    async fn a_wrong_name_and_an_unknown_authority_are_distinguished() {
        let (trusted, stranger) = (Authority::new(), Authority::new());
        let tls = Tls::trusting(trusted.certificate.der().clone());
        for (authority, name, expected) in [
            (&trusted, "www.example.org", Certificate::Valid),
            (&trusted, "www.example.net", Certificate::WrongName),
            (&stranger, "www.example.org", Certificate::Untrusted),
            (&stranger, "www.example.net", Certificate::WrongName),
        ] {
            let server = authority.server(name).await;
            assert_eq!(fetch(&tls, "www.example.org", server).await, Ok(expected), "{name}");
        }
    }

    #[tokio::test]
    async fn without_a_handshake_the_certificate_is_undetermined() {
        let tls = Tls::trusting(Authority::new().certificate.der().clone());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let server = listener.local_addr().unwrap();
        let hang_up = async || drop(listener.accept().await);
        let ((), fetched) = futures::join!(hang_up(), fetch(&tls, "www.example.org", server));
        assert!(matches!(fetched, Err(Reason::Failed(_))), "{fetched:?}");
        drop(listener);
        let closed = fetch(&tls, "www.example.org", server).await;
        assert!(matches!(closed, Err(Reason::Refused(_))), "{closed:?}");
    }
}
