//! TLS clients that trust the certificate authorities of the operating system.
//!
//! `SSL_CERT_FILE` is respected where the operating system respects it. Sessions are never resumed:
//! a ticket would let a service recognise this machine behind another exit.

use crate::reason;
use rustls::{
    ClientConfig, RootCertStore,
    client::{Resumption, WantsClientCert, danger::ServerCertVerifier},
    crypto::{CryptoProvider, ring},
};
use rustls_platform_verifier::Verifier;
use sentinel_model::Reason;
use std::sync::{Arc, OnceLock};

/// The system's trusted authorities, read when first needed. Cloning it is cheap.
///
/// They take memory, and a node without consent for public services needs none.
#[derive(Clone, Default)]
pub(crate) struct Tls {
    verifier: Arc<OnceLock<Result<Arc<Verifier>, String>>>,
}

impl Tls {
    /// Returns the verifier of the system's trusted authorities.
    pub(crate) fn verifier(&self) -> Result<Arc<dyn ServerCertVerifier>, Reason> {
        let read = || match Verifier::new(provider()) {
            Ok(verifier) => Ok(Arc::new(verifier)),
            Err(error) => Err(format!("the system's trusted certificates could not be read: {error}")),
        };
        match self.verifier.get_or_init(read) {
            Ok(verifier) => {
                let verifier: Arc<dyn ServerCertVerifier> = verifier.clone();
                Ok(verifier)
            }
            Err(cause) => Err(Reason::Failed(cause.clone())),
        }
    }

    /// Trusts the system's authorities and one more.
    #[cfg(test)]
    pub(crate) fn trusting(root: rustls::pki_types::CertificateDer<'static>) -> Self {
        let verifier = Verifier::new_with_extra_roots([root], provider()).unwrap();
        Self { verifier: Arc::new(OnceLock::from(Ok(Arc::new(verifier)))) }
    }

    /// Returns the configuration of a client that verifies the server's certificate and name.
    pub(crate) fn client(&self) -> Result<ClientConfig, Reason> {
        client_with_verifier(self.verifier()?)
    }
}

/// Returns the configuration of a client that uses this verifier.
pub(crate) fn client_with_verifier(verifier: Arc<dyn ServerCertVerifier>) -> Result<ClientConfig, Reason> {
    let versions = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let versions = versions.map_err(|error| reason::of_tls(&error))?;
    Ok(finish(versions.dangerous().with_custom_certificate_verifier(verifier)))
}

/// Returns the configuration of a client that trusts no authority, for use without TLS.
pub(crate) fn client_trusting_nobody() -> Result<ClientConfig, Reason> {
    let versions = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let versions = versions.map_err(|error| reason::of_tls(&error))?;
    Ok(finish(versions.with_root_certificates(RootCertStore::empty())))
}

fn finish(builder: rustls::ConfigBuilder<ClientConfig, WantsClientCert>) -> ClientConfig {
    let mut config = builder.with_no_client_auth();
    config.resumption = Resumption::disabled();
    config
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
