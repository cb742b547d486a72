//! A transport that looks up the names in addresses before it dials.
//!
//! It wraps the transports that need IP addresses. Relayed connections are dialed above it, so that
//! the address of a relay may hold a name as well.

use crate::resolve_names::ResolveNames;
use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, join_all},
    stream::FuturesUnordered,
};
use libp2p::{
    Multiaddr, Transport,
    core::transport::{Boxed, DialOpts, ListenerId, TransportError, TransportEvent},
    multiaddr::Protocol,
    swarm::DialError,
};
use sentinel_model::{Family, Reason};
use std::{
    error::Error,
    io,
    iter::successors,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

/// The most addresses of one name that are dialed. All are dialed at once.
const MAX_ADDRESSES: usize = 8;

/// Why an address with a name was not dialed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NameError {
    #[error("the name {name} cannot be resolved: {cause}")]
    Unresolved { name: String, cause: Reason },
    #[error("the name {name} has no {families} address")]
    NoAddress { name: String, families: &'static str },
    #[error("addresses of the form /dnsaddr are not supported; use /dns4, /dns6 or /dns")]
    Dnsaddr,
    #[error("{0} holds more than one name")]
    SeveralNames(Multiaddr),
}

/// A dial that ended before its connection was attempted.
///
/// The layers above hide the error itself, and show only its source.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NotDialed(#[source] NameError);

impl From<NameError> for io::Error {
    fn from(error: NameError) -> Self {
        Self::other(NotDialed(error))
    }
}

/// Returns why the name in an address could not be used, if that is why a dial failed.
pub(crate) fn find_name_error(error: &DialError) -> Option<&NameError> {
    let DialError::Transport(failures) = error else { return None };
    failures.iter().find_map(|(_, failure)| match failure {
        TransportError::Other(error) => {
            successors(error.source(), |&error| error.source()).find_map(|error| error.downcast_ref())
        }
        TransportError::MultiaddrNotSupported(_) => None,
    })
}

/// Dials like the transport that it wraps, once the name in an address is resolved.
pub(crate) struct NamingTransport<O> {
    /// Shared with dials, which go on after their lookup without a reference to this transport.
    inner: Arc<Mutex<Boxed<O>>>,
    names: Arc<dyn ResolveNames>,
}

impl<O> NamingTransport<O> {
    /// Wraps a transport that accepts IP addresses only.
    pub(crate) fn new(inner: Boxed<O>, names: Arc<dyn ResolveNames>) -> Self {
        Self { inner: Arc::new(Mutex::new(inner)), names }
    }

    fn inner(&self) -> MutexGuard<'_, Boxed<O>> {
        lock(&self.inner)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<O: Send + 'static> Transport for NamingTransport<O> {
    type Output = O;
    type Error = io::Error;
    type ListenerUpgrade = <Boxed<O> as Transport>::ListenerUpgrade;
    type Dial = BoxFuture<'static, io::Result<O>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        self.inner().listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner().remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        let name = AddressName::find(&address).map_err(|error| TransportError::Other(error.into()))?;
        let Some(name) = name else {
            return Ok(self.inner().dial(address, options)?.boxed());
        };
        let (inner, names) = (Arc::clone(&self.inner), Arc::clone(&self.names));
        let dial = async move {
            let resolved = name.resolve(&*names).await?;
            let addresses = resolved.into_iter().filter_map(|ip| name.replace(&address, ip));
            let dials = addresses.map(|address| lock(&inner).dial(address, options));
            first_success(dials.collect()).await
        };
        Ok(dial.boxed())
    }

    fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        Pin::new(&mut *self.inner()).poll(cx)
    }
}

/// Waits for the first of several dials to succeed; if none does, the error names every cause once.
async fn first_success<O>(
    dials: Vec<Result<<Boxed<O> as Transport>::Dial, TransportError<io::Error>>>,
) -> io::Result<O> {
    let mut causes = Vec::new();
    let mut note = |cause: String| {
        if !causes.contains(&cause) {
            causes.push(cause);
        }
    };
    let mut under_way = FuturesUnordered::new();
    for dial in dials {
        match dial {
            Ok(dial) => under_way.push(dial),
            Err(TransportError::Other(error)) => note(error.to_string()),
            Err(error) => note(error.to_string()),
        }
    }
    while let Some(result) = under_way.next().await {
        match result {
            Ok(connection) => return Ok(connection),
            Err(error) => note(error.to_string()),
        }
    }
    Err(io::Error::other(causes.join("; ")))
}

/// The name in an address, and where it is.
#[derive(Debug, PartialEq, Eq)]
struct AddressName {
    /// The index of the part that holds it.
    index: usize,
    name: String,
    families: &'static [Family],
}

impl AddressName {
    /// Returns the name in an address, if there is one.
    fn find(address: &Multiaddr) -> Result<Option<Self>, NameError> {
        let mut found = None;
        for (index, part) in address.iter().enumerate() {
            let (name, families): (_, &[Family]) = match part {
                Protocol::Dns(name) => (name, &Family::ALL),
                Protocol::Dns4(name) => (name, &[Family::V4]),
                Protocol::Dns6(name) => (name, &[Family::V6]),
                Protocol::Dnsaddr(_) => return Err(NameError::Dnsaddr),
                _ => continue,
            };
            if found.replace(Self { index, name: name.into_owned(), families }).is_some() {
                return Err(NameError::SeveralNames(address.clone()));
            }
        }
        Ok(found)
    }

    /// Looks the name up in its families, all at once. One that has an address is enough.
    async fn resolve(&self, names: &dyn ResolveNames) -> Result<Vec<IpAddr>, NameError> {
        let lookups = self.families.iter().map(|family| names.resolve(&self.name, *family));
        let mut addresses = Vec::new();
        let mut failure = None;
        for (family, result) in self.families.iter().zip(join_all(lookups).await) {
            match result {
                Ok(found) => {
                    let usable = found.into_iter().filter(|address| Family::of(*address) == *family);
                    addresses.extend(usable.take(MAX_ADDRESSES / self.families.len()));
                }
                Err(cause) => failure = failure.or(Some(cause)),
            }
        }
        match failure {
            _ if !addresses.is_empty() => Ok(addresses),
            Some(cause) => Err(NameError::Unresolved { name: self.name.clone(), cause }),
            None => Err(NameError::NoAddress { name: self.name.clone(), families: self.families_text() }),
        }
    }

    fn families_text(&self) -> &'static str {
        match self.families {
            [Family::V4] => "IPv4",
            [Family::V6] => "IPv6",
            _ => "IPv4 or IPv6",
        }
    }

    /// Returns the address with an IP address in place of the name.
    fn replace(&self, address: &Multiaddr, ip: IpAddr) -> Option<Multiaddr> {
        address.replace(self.index, |_| Some(ip.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        collections::BTreeMap,
        time::{Duration, Instant},
    };

    /// Answers from a list. A name without an entry times out.
    struct Listed(BTreeMap<(&'static str, Family), Vec<&'static str>>);

    impl ResolveNames for Listed {
        fn resolve<'a>(
            &'a self,
            name: &'a str,
            family: Family,
        ) -> BoxFuture<'a, Result<Vec<IpAddr>, Reason>> {
            let found = self.0.iter().find(|((known, of), _)| *known == name && *of == family);
            let found = found.map(|(_, addresses)| addresses.iter().map(|text| text.parse().unwrap()));
            let found = found.map(Iterator::collect).ok_or(Reason::TimedOut);
            async move { found }.boxed()
        }
    }

    fn name_in(address: &str) -> Result<Option<AddressName>, NameError> {
        AddressName::find(&address.parse().unwrap())
    }

    async fn resolve(address: &str, names: &Listed) -> Result<Vec<String>, String> {
        let parsed: Multiaddr = address.parse().unwrap();
        let name = AddressName::find(&parsed).unwrap().unwrap();
        let resolved = name.resolve(names).await.map_err(|error| error.to_string())?;
        Ok(resolved.into_iter().map(|ip| name.replace(&parsed, ip).unwrap().to_string()).collect())
    }

    #[tokio::test]
    async fn a_name_is_replaced_by_each_of_its_addresses_in_the_families_it_is_for() {
        let names = Listed(BTreeMap::from([
            (("probe.example", Family::V4), vec!["192.0.2.1", "192.0.2.2"]),
            (("probe.example", Family::V6), vec!["2001:db8::1"]),
            (("v4.example", Family::V4), vec!["192.0.2.3"]),
            (("v4.example", Family::V6), vec![]),
        ]));
        let both = resolve("/dns/probe.example/udp/7/quic-v1", &names).await.unwrap();
        assert_eq!(
            both,
            [
                "/ip4/192.0.2.1/udp/7/quic-v1",
                "/ip4/192.0.2.2/udp/7/quic-v1",
                "/ip6/2001:db8::1/udp/7/quic-v1"
            ]
        );
        assert_eq!(resolve("/dns6/probe.example/tcp/7", &names).await.unwrap(), ["/ip6/2001:db8::1/tcp/7"]);
        assert_eq!(resolve("/dns/v4.example/tcp/7", &names).await.unwrap(), ["/ip4/192.0.2.3/tcp/7"]);
        let none = resolve("/dns6/v4.example/tcp/7", &names).await.unwrap_err();
        assert_eq!(none, "the name v4.example has no IPv6 address");
        let failed = resolve("/dns4/other.example/tcp/7", &names).await.unwrap_err();
        assert_eq!(failed, "the name other.example cannot be resolved: no answer in time");
    }

    #[tokio::test]
    async fn an_answer_of_another_family_or_without_end_is_not_dialed() {
        let many: Vec<&str> = vec!["192.0.2.1"; 1000];
        let names = Listed(BTreeMap::from([
            (("mixed.example", Family::V4), vec!["2001:db8::1"]),
            (("many.example", Family::V4), many),
        ]));
        assert!(resolve("/dns4/mixed.example/tcp/7", &names).await.is_err());
        assert_eq!(resolve("/dns4/many.example/tcp/7", &names).await.unwrap().len(), MAX_ADDRESSES);
    }

    #[test]
    fn only_addresses_with_one_name_that_leads_to_an_ip_address_are_accepted() {
        assert_eq!(name_in("/ip4/192.0.2.1/tcp/7").unwrap(), None);
        assert_eq!(name_in("/dns4/probe.example/tcp/7").unwrap().unwrap().name, "probe.example");
        let refused = |address: &str| name_in(address).unwrap_err().to_string();
        assert!(refused("/dnsaddr/probe.example").contains("/dns4"));
        assert!(refused("/dns4/a.example/dns6/b.example/tcp/7").contains("more than one name"));
    }

    #[tokio::test]
    async fn the_first_dial_that_succeeds_is_not_delayed_by_those_that_hang() {
        let hang = || Ok(futures::future::pending::<io::Result<u8>>().boxed());
        let fail = |cause: &'static str| Ok(async move { Err(io::Error::other(cause)) }.boxed());
        let succeed = Ok(async { Ok(7) }.boxed());
        let started = Instant::now();
        assert_eq!(first_success(vec![hang(), fail("refused"), succeed]).await.unwrap(), 7);
        assert!(started.elapsed() < Duration::from_secs(1));
        let refused = Err(TransportError::Other(io::Error::other("no route")));
        let error = first_success::<u8>(vec![fail("refused"), fail("refused"), refused]).await.unwrap_err();
        assert_eq!(error.to_string(), "no route; refused");
    }
}
