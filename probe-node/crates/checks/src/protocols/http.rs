//! HTTP requests that describe the current path only.
//!
//! Every request makes its own connection, follows no redirect, uses no proxy and reads a bounded
//! body.

use crate::{error::CheckError, protocols::tls::Tls, reason};
use reqwest::{
    Client, Response, StatusCode, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::RETRY_AFTER,
    redirect::Policy,
};
use sentinel_model::{Family, PerFamily, Reason};
use std::{
    collections::HashMap,
    error::Error,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::timeout;

/// The initial capacity for a body; most are a single address.
const SHORT_BODY: usize = 256;

/// A response with its whole body.
pub(crate) struct HttpResponse {
    pub(crate) status: StatusCode,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// One client per family, so that the system's certificates are read once and not per request.
pub(crate) struct HttpClients(PerFamily<FamilyClient>);

struct FamilyClient {
    client: Client,
    addresses: Arc<PinnedAddresses>,
}

impl HttpClients {
    pub(crate) fn new(budget: Duration, tls: &Tls) -> Result<Self, CheckError> {
        Ok(Self(PerFamily {
            v4: FamilyClient::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), budget, tls)?,
            v6: FamilyClient::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), budget, tls)?,
        }))
    }

    /// Requests `url` from exactly this address, with at most `max_body` bytes, within `budget`.
    pub(crate) async fn get(
        &self,
        url: &Url,
        address: IpAddr,
        max_body: usize,
        budget: Duration,
    ) -> Result<HttpResponse, Reason> {
        let FamilyClient { client, addresses } = &self.0[Family::of(address)];
        if let Some(name) = url.domain() {
            addresses.pin(name, address);
        }
        let request = async {
            let response = client.get(url.clone()).send().await.map_err(|error| describe(&error))?;
            let status = response.status();
            let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            let retry_after = retry_after.map(str::to_owned);
            let body = match read_body(response, max_body).await {
                // The body of an error response does not matter.
                Err(_) if !status.is_success() => Vec::new(),
                body => body?,
            };
            Ok(HttpResponse { status, retry_after, body })
        };
        timeout(budget, request).await.unwrap_or(Err(Reason::TimedOut))
    }
}

impl FamilyClient {
    fn new(local: IpAddr, budget: Duration, tls: &Tls) -> Result<Self, CheckError> {
        let addresses = Arc::new(PinnedAddresses::default());
        let client = Client::builder()
            .tls_backend_preconfigured(tls.client().map_err(CheckError::Certificates)?)
            .no_proxy() // through a proxy, a service would see the proxy's exit
            .redirect(Policy::none())
            .referer(false)
            .http1_only()
            .pool_max_idle_per_host(0) // a kept connection would describe the old path
            .local_address(local)
            .dns_resolver(addresses.clone())
            .timeout(budget)
            .build()
            .map_err(CheckError::Https)?;
        Ok(Self { client, addresses })
    }
}

/// The addresses of names, resolved beforehand.
///
/// A request then goes to the same address by whose network the service counts as a voice.
#[derive(Default)]
struct PinnedAddresses(Mutex<HashMap<String, IpAddr>>);

impl PinnedAddresses {
    /// Sets the address of a name. There are as many names as configured services.
    fn pin(&self, name: &str, address: IpAddr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), address);
    }
}

impl Resolve for PinnedAddresses {
    fn resolve(&self, name: Name) -> Resolving {
        let pinned = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name.as_str()).copied();
        Box::pin(async move {
            let address = pinned.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
            // The client replaces port 0 by the port of the URL.
            let addresses: Addrs = Box::new(std::iter::once(SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}

async fn read_body(mut response: Response, max: usize) -> Result<Vec<u8>, Reason> {
    let mut body = Vec::with_capacity(SHORT_BODY.min(max));
    while let Some(chunk) = response.chunk().await.map_err(|error| describe(&error))? {
        if body.len() + chunk.len() > max {
            return Err(Reason::Malformed(format!("the body has more than {max} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Returns the most specific reason: the system's error at the end of the chain, if there is one.
fn describe(error: &reqwest::Error) -> Reason {
    if error.is_timeout() {
        return Reason::TimedOut;
    }
    let mut deepest: &(dyn Error + 'static) = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    match deepest.downcast_ref::<io::Error>() {
        Some(system) => reason::of_io(system),
        None => Reason::Failed(deepest.to_string()),
    }
}
