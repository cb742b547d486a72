//! Determines who operates an address.
//!
//! The sources, in this order: the user's own table, a local file, and the cached answers of a
//! public service. The service is asked in the background, so no check ever waits for it.

mod file;
pub(crate) mod zone;

use crate::{dns::stub::SystemResolver, error::CheckError, settings::Services};
use file::OwnershipFile;
use ipnet::IpNet;
use sentinel_model::{Attributed, Home, Owner};
use std::{
    cmp::Reverse,
    net::IpAddr,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use zone::OwnershipZone;

/// Reports who operates an address.
///
/// A handle: cloning it is cheap, and all clones share what they learn.
#[derive(Clone, Debug, Default)]
pub struct Ownership {
    /// The user's table, longest prefix first, so that the first match is the most specific.
    networks: Arc<[(IpNet, Owner)]>,
    file: Option<Arc<OwnershipFile>>,
    zone: Option<Arc<OwnershipZone>>,
    /// Networks that the service is never asked about.
    home: Arc<RwLock<Home>>,
}

impl Ownership {
    /// Creates a table of networks and their operators, in any order; the longest prefix wins.
    pub fn new(mut networks: Vec<(IpNet, Owner)>) -> Self {
        networks.sort_by_key(|(network, _)| Reverse(network.prefix_len()));
        Self { networks: networks.into(), ..Self::default() }
    }

    /// Adds a MaxMind DB file for addresses that the table does not cover. It is read once, here.
    ///
    /// Supported are GeoLite2-ASN and the databases of DB-IP and IPinfo.
    pub fn with_file(self, path: &Path) -> Result<Self, CheckError> {
        Ok(Self { file: Some(Arc::new(OwnershipFile::open(path)?)), ..self })
    }

    /// Adds the first service that may be asked, for addresses that neither covers.
    ///
    /// Without consent, no service is added.
    pub fn with_services(self, services: &Services) -> Result<Self, CheckError> {
        let zone = services.allowed(&services.ownership).next().map(OwnershipZone::new).transpose()?;
        Ok(Self { zone: zone.map(Arc::new), ..self })
    }

    /// Sets what is home: no service is asked who operates it.
    ///
    /// The question alone would reveal that this machine is connected with that line.
    pub fn keep_secret(&self, home: Home) {
        *self.home.write().unwrap_or_else(PoisonError::into_inner) = home;
    }

    /// Returns the address with its operator, as far as that is known without asking.
    ///
    /// If it is not known, [`Ownership::learn`] asks about it later, unless the address is home.
    pub fn attribute(&self, address: IpAddr) -> Attributed {
        let address = address.to_canonical();
        let may_ask =
            |network: &IpNet| !self.home.read().unwrap_or_else(PoisonError::into_inner).overlaps(network);
        let owner = self.find_local_owner(address).or_else(|| self.zone.as_ref()?.owner(address, may_ask));
        Attributed { address, owner }
    }

    /// Returns an address's operator from this machine's own tables and files.
    ///
    /// No service is ever asked about the address.
    pub fn find_local_owner(&self, address: IpAddr) -> Option<Owner> {
        let address = address.to_canonical();
        let table = self.networks.iter().find(|(network, _)| network.contains(&address));
        table.map(|(_, owner)| owner.clone()).or_else(|| self.file.as_ref()?.owner(address))
    }

    /// Asks the service about the addresses seen since, through this resolver.
    ///
    /// Takes at most one budget.
    pub(crate) async fn learn(&self, resolver: &SystemResolver, budget: Duration) {
        if let Some(zone) = &self.zone {
            zone.learn(resolver, budget).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::Asn;

    fn owner(asn: u32) -> Owner {
        Owner { asn: Some(Asn(asn)), name: format!("net {asn}"), country: None }
    }

    fn asn_of(ownership: &Ownership, address: &str) -> Option<u32> {
        Some(ownership.attribute(address.parse().unwrap()).owner?.asn?.0)
    }

    #[test]
    fn the_longest_prefix_wins_whatever_the_order() {
        let wide = ("203.0.0.0/8".parse().unwrap(), owner(1));
        let narrow = ("203.0.113.0/24".parse().unwrap(), owner(2));
        let host = ("203.0.113.7/32".parse().unwrap(), owner(3));
        for networks in [
            vec![wide.clone(), narrow.clone(), host.clone()],
            vec![host.clone(), narrow.clone(), wide.clone()],
            vec![narrow, host, wide],
        ] {
            let ownership = Ownership::new(networks);
            assert_eq!(asn_of(&ownership, "203.0.113.7"), Some(3));
            assert_eq!(asn_of(&ownership, "203.0.113.8"), Some(2));
            assert_eq!(asn_of(&ownership, "203.9.9.9"), Some(1));
            assert_eq!(asn_of(&ownership, "198.51.100.1"), None);
        }
    }

    #[tokio::test]
    async fn no_service_is_asked_who_operates_home() {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let services = Services { consent: true, ..Services::default() };
        let ownership = Ownership::default().with_services(&services).unwrap();
        let home = Home {
            addresses: vec!["198.51.100.142".parse().unwrap(), "2001:db8:51::1".parse().unwrap()],
            ..Home::default()
        };
        ownership.keep_secret(home);
        for of_home in ["198.51.100.142", "198.51.100.9", "2001:db8:51:7::9"] {
            ownership.attribute(of_home.parse().unwrap());
        }
        let server = SystemResolver { servers: vec![socket.local_addr().unwrap()], service: None };
        ownership.learn(&server, Duration::from_secs(5)).await; // ends at once, because nothing is pending
        assert!(socket.try_recv(&mut [0; 64]).is_err(), "a question about home was sent");
        ownership.attribute("203.0.113.9".parse().unwrap());
        ownership.learn(&server, Duration::from_millis(200)).await;
        assert!(socket.try_recv(&mut [0; 64]).is_ok(), "other addresses are asked about");
    }

    #[test]
    fn families_do_not_mix_and_mapped_addresses_are_unmapped() {
        let ownership = Ownership::new(vec![
            ("0.0.0.0/0".parse().unwrap(), owner(4)),
            ("::/0".parse().unwrap(), owner(6)),
        ]);
        assert_eq!(asn_of(&ownership, "2001:db8::1"), Some(6));
        assert_eq!(asn_of(&ownership, "::ffff:192.0.2.1"), Some(4));
    }
}
