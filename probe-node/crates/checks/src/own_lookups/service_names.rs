//! The names of public services, which are resolved anew in every round.

use crate::dns::{
    name,
    stub::{SystemResolver, SystemStub},
};
use sentinel_model::{Family, Reason};
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Where each service was found last, by name and family.
///
/// It grows no larger than the list of services.
#[derive(Default)]
pub(super) struct KnownServices(Mutex<HashMap<(String, Family), IpAddr>>);

/// Looks up the names of public services, for one round.
pub(crate) struct ServiceNames {
    resolver: Result<SystemResolver, Reason>,
    stub: SystemStub,
    known: Arc<KnownServices>,
}

impl ServiceNames {
    /// `resolver` is what may be asked, or why nothing may.
    pub(super) fn new(
        resolver: Result<SystemResolver, Reason>,
        budget: Duration,
        known: Arc<KnownServices>,
    ) -> Self {
        let stub = match &resolver {
            Ok(resolver) => resolver.stub_with_hosts_file(budget),
            Err(reason) => Err(reason.clone()),
        };
        Self { resolver, stub, known }
    }

    /// Returns what may be asked, or why nothing may.
    pub(crate) fn resolver(&self) -> Result<&SystemResolver, &Reason> {
        self.resolver.as_ref()
    }

    /// Returns the first address of a service in one family, or `None` if it has none there.
    ///
    /// Where no server may be asked, it is the address at which the service was found last.
    pub(crate) async fn find(&self, service: &str, family: Family) -> Result<Option<IpAddr>, Reason> {
        let key = (service.to_owned(), family);
        let stub = match &self.stub {
            Ok(stub) => stub,
            Err(reason) => return self.known.get(&key).map(Some).ok_or_else(|| reason.clone()),
        };
        let name = name::parse(service).map_err(Reason::Failed)?;
        let found = stub.addresses(&name, family).await?.addresses.first().copied();
        if let Some(address) = found {
            self.known.insert(key, address);
        }
        Ok(found)
    }
}

impl KnownServices {
    fn get(&self, key: &(String, Family)) -> Option<IpAddr> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).copied()
    }

    fn insert(&self, key: (String, Family), address: IpAddr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, address);
    }
}
