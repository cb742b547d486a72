//! The operator of an address, from a DNS zone in Team Cymru's format.
//!
//! `<reversed address>.origin.<zone>` names the AS, `AS<n>.<zone>` its operator. The questions are
//! about networks (/24, /48) and never about addresses: routes are no finer than that, and nobody
//! learns which address in the network was of interest.

use crate::{
    dns::{
        lookup_error::LookupError,
        name,
        stub::{StubResolver, SystemResolver},
    },
    error::CheckError,
    settings::Service,
};
use futures::future::join_all;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use ipnet::IpNet;
use sentinel_model::{Asn, Owner, Reason};
use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// How long a known operator is kept; operators seldom change.
const KNOWN_FOR: Duration = Duration::from_hours(24);
/// How soon a network whose operator is undetermined is asked about again.
const UNDETERMINED_FOR: Duration = Duration::from_mins(10);
/// The most networks kept; more than a machine contacts in a day.
const MAX_NETWORKS: usize = 1024;
/// The most networks asked about at once.
const MAX_PENDING: usize = 32;

/// A zone that reports operators, and the operators it reported.
#[derive(Debug)]
pub(super) struct OwnershipZone {
    zone: String,
    cache: Mutex<OwnerCache>,
}

#[derive(Debug, Default)]
struct OwnerCache {
    owners: HashMap<IpNet, CachedOwner>,
    /// Networks to ask about next.
    pending: BTreeSet<IpNet>,
}

#[derive(Debug)]
struct CachedOwner {
    /// `None` if it is undetermined.
    owner: Option<Owner>,
    expires_at: Instant,
}

impl OwnershipZone {
    pub(super) fn new(service: &Service) -> Result<Self, CheckError> {
        name::parse(&service.address)
            .map_err(|_| CheckError::service(&service.name, &service.address, "a domain name"))?;
        Ok(Self { zone: service.address.clone(), cache: Mutex::default() })
    }

    /// Returns the owner of an address from the cache.
    ///
    /// If it is missing or has expired and `may_ask` allows it, its network is asked about next.
    pub(super) fn owner(&self, address: IpAddr, may_ask: impl Fn(&IpNet) -> bool) -> Option<Owner> {
        let network = routed_network(address)?;
        let mut cache = self.cache();
        let cached = cache.owners.get(&network);
        let is_fresh = cached.is_some_and(|cached| cached.expires_at > Instant::now());
        let owner = cached.and_then(|cached| cached.owner.clone());
        if !is_fresh && cache.pending.len() < MAX_PENDING && may_ask(&network) {
            cache.pending.insert(network);
        }
        owner
    }

    /// Asks about every pending network, all at once.
    pub(super) async fn learn(&self, resolver: &SystemResolver, budget: Duration) {
        let pending = std::mem::take(&mut self.cache().pending);
        if pending.is_empty() {
            return;
        }
        // Half of the budget per question: one about the network, then one about its AS.
        let stub = match resolver.stub(budget / 2) {
            Ok(stub) => stub,
            Err(reason) => {
                tracing::debug!(%reason, "cannot ask who operates addresses");
                return;
            }
        };
        let stub = &stub;
        join_all(pending.into_iter().map(|network| async move {
            let answer = timeout(budget, self.ask(stub, network)).await;
            self.store(network, answer.unwrap_or(Err(Reason::TimedOut)));
        }))
        .await;
    }

    async fn ask(&self, stub: &StubResolver, network: IpNet) -> Result<Option<Owner>, Reason> {
        let origins = texts(stub, &question(network, &self.zone)).await?;
        let Some(asn) = origins.iter().find_map(|text| parse_origin(text)) else { return Ok(None) };
        let operators = texts(stub, &format!("{asn}.{}", self.zone)).await.unwrap_or_default();
        let name = operators.iter().find_map(|text| parse_operator(text)).unwrap_or_else(|| asn.to_string());
        // The answer's country is where the operator is registered, not where the address is.
        Ok(Some(Owner { asn: Some(asn), name, country: None }))
    }

    fn store(&self, network: IpNet, answer: Result<Option<Owner>, Reason>) {
        let owner = answer.unwrap_or_else(|reason| {
            tracing::debug!(%network, %reason, "the operator of a network is undetermined");
            None
        });
        let now = Instant::now();
        let mut cache = self.cache();
        // A known operator is kept when the service stops answering.
        let before = cache.owners.remove(&network).and_then(|cached| cached.owner);
        let lifetime = if owner.is_some() { KNOWN_FOR } else { UNDETERMINED_FOR };
        if cache.owners.len() >= MAX_NETWORKS {
            let oldest = cache.owners.iter().min_by_key(|(_, it)| it.expires_at).map(|(network, _)| *network);
            oldest.and_then(|oldest| cache.owners.remove(&oldest));
        }
        cache.owners.insert(network, CachedOwner { owner: owner.or(before), expires_at: now + lifetime });
    }

    fn cache(&self) -> MutexGuard<'_, OwnerCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn texts(stub: &StubResolver, name: &str) -> Result<Vec<String>, Reason> {
    let name: Name = name::parse(name).map_err(Reason::Failed)?;
    let records = match stub.records(&name, RecordType::TXT).await {
        Err(LookupError::Undetermined(reason)) => return Err(reason),
        Err(LookupError::Nonexistent) => Vec::new(),
        Ok(records) => records,
    };
    let texts = records.iter().filter_map(|record| match record {
        RData::TXT(text) => String::from_utf8(text.txt_data.concat()).ok(),
        _ => None,
    });
    Ok(texts.collect())
}

/// Returns the network to ask about, or `None` if the internet has no route to the address.
fn routed_network(address: IpAddr) -> Option<IpNet> {
    let (length, routed) = match address {
        IpAddr::V4(v4) => {
            let shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64; // RFC 6598
            let local = v4.is_private() || v4.is_loopback() || v4.is_link_local() || shared;
            (24, !local && (1..=223).contains(&v4.octets()[0]))
        }
        IpAddr::V6(v6) => (48, v6.segments()[0] >> 13 == 1), // global unicast, 2000::/3
    };
    IpNet::new(address, length).ok().filter(|_| routed).map(|network| network.trunc())
}

fn question(network: IpNet, zone: &str) -> String {
    let mut name = String::new();
    // Writing to a string cannot fail.
    let _ = match network.addr() {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            write!(name, "{d}.{c}.{b}.{a}.origin.{zone}")
        }
        IpAddr::V6(v6) => {
            for byte in v6.octets().iter().rev() {
                let _ = write!(name, "{:x}.{:x}.", byte & 0xf, byte >> 4);
            }
            write!(name, "origin6.{zone}")
        }
    };
    name
}

/// Parses the AS in an answer about a network; of several origins, the first.
///
/// Example: `23028 | 216.90.108.0/24 | US | arin | 1998-09-25`.
pub(crate) fn parse_origin(text: &str) -> Option<Asn> {
    text.split('|').next()?.split_whitespace().next()?.parse().ok().filter(|asn| *asn != 0).map(Asn)
}

/// Parses the operator in an answer about an AS, without its short name and country code.
///
/// Example: `23028 | US | arin | 2002-01-04 | TEAM-CYMRU - Team Cymru Inc., US`.
pub(crate) fn parse_operator(text: &str) -> Option<String> {
    let name = text.split('|').nth(4)?.trim();
    let name = name.split_once(" - ").map_or(name, |(_, name)| name);
    let name = match name.rsplit_once(", ") {
        Some((name, code)) if code.len() == 2 => name,
        _ => name,
    };
    let name: String = name.trim().chars().filter(|character| !character.is_control()).take(100).collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::{
        op::Message,
        rr::{Record, rdata::TXT},
    };
    use tokio::net::UdpSocket;

    #[test]
    fn the_question_is_about_the_network_and_not_the_address() {
        let asked = |address: &str| {
            routed_network(address.parse().unwrap()).map(|network| question(network, "asn.example"))
        };
        assert_eq!(asked("203.0.113.77").unwrap(), "0.113.0.203.origin.asn.example");
        assert_eq!(
            asked("2001:db8:5:6::7").unwrap(),
            format!("{}5.0.0.0.8.b.d.0.1.0.0.2.origin6.asn.example", "0.".repeat(20))
        );
        for local in [
            "10.1.2.3",
            "192.168.0.1",
            "127.0.0.1",
            "100.64.0.1",
            "169.254.1.1",
            "0.0.0.0",
            "224.0.0.1",
            "fd00::1",
            "fe80::1",
            "::1",
        ] {
            assert_eq!(asked(local), None, "{local}");
        }
        assert!(asked("100.128.0.1").is_some());
    }

    #[test]
    fn answers_are_parsed_and_malformed_ones_are_ignored() {
        assert_eq!(parse_origin("23028 | 216.90.108.0/24 | US | arin | 1998-09-25"), Some(Asn(23_028)));
        assert_eq!(parse_origin("701 1239 | 198.6.0.0/16 | US | arin | "), Some(Asn(701)));
        for bad in ["", "|", "AS1 | x", "0 | x", "99999999999 | x", "<html>"] {
            assert_eq!(parse_origin(bad), None, "{bad}");
        }
        let about = "23028 | US | arin | 2002-01-04 | TEAM-CYMRU - Team Cymru Inc., US";
        assert_eq!(parse_operator(about).as_deref(), Some("Team Cymru Inc."));
        assert_eq!(parse_operator("1 | SE | ripencc | | EXAMPLE, SE").as_deref(), Some("EXAMPLE"));
        assert_eq!(parse_operator("1 | SE | ripencc"), None);
        assert_eq!(parse_operator("1 | SE | ripencc | | "), None);
        assert_eq!(parse_operator(&format!("1||||{}", "x".repeat(5000))).map(|name| name.len()), Some(100));
    }

    #[test]
    fn the_cache_is_bounded_and_keeps_known_operators() {
        let zone = OwnershipZone::new(&Service::new("asn", "asn.example")).unwrap();
        let owner = Owner { asn: Some(Asn(64_500)), name: "Example".into(), country: None };
        let address: IpAddr = "203.0.113.7".parse().unwrap();
        assert_eq!(zone.owner(address, |_| true), None);
        zone.store(routed_network(address).unwrap(), Ok(Some(owner.clone())));
        zone.store(routed_network(address).unwrap(), Err(Reason::TimedOut));
        assert_eq!(
            zone.owner(address, |_| true),
            Some(owner),
            "a service that does not answer removes nothing"
        );
        for third in 0..=255 {
            for second in 0..8 {
                let network = IpNet::new_assert(IpAddr::from([20, second, third, 0]), 24);
                zone.owner(network.addr(), |_| true);
                zone.store(network, Ok(None));
            }
        }
        let cache = zone.cache();
        assert!(cache.owners.len() <= MAX_NETWORKS && cache.pending.len() <= MAX_PENDING);
    }

    #[tokio::test]
    async fn a_pending_network_is_asked_about_once_and_then_known() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = socket.local_addr().unwrap();
        let asked = tokio::spawn(async move {
            let mut asked = Vec::new();
            let mut buffer = [0; 1500];
            while asked.len() < 2 {
                let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                let request = Message::from_vec(&buffer[..length]).unwrap();
                let name = request.queries[0].name().clone();
                let text = match name.to_string().as_str() {
                    "0.113.0.203.origin.asn.example." => "64500 | 203.0.113.0/24 | SE | ripencc | ",
                    "AS64500.asn.example." => "64500 | SE | ripencc | | EXAMPLE - Example VPN, SE",
                    _ => "",
                };
                let mut response = request.into_response();
                let data = RData::TXT(TXT::new(vec![text.to_owned()]));
                response.add_answer(Record::from_rdata(name.clone(), 60, data));
                socket.send_to(&response.to_vec().unwrap(), from).await.unwrap();
                asked.push(name.to_string());
            }
            asked
        });
        let zone = OwnershipZone::new(&Service::new("asn", "asn.example")).unwrap();
        let resolver = SystemResolver { servers: vec![server], service: None };
        let address = [203, 0, 113, 77].into();
        let budget = Duration::from_secs(5);
        zone.learn(&resolver, budget).await; // nothing is pending, so nothing is asked
        assert_eq!(zone.owner(address, |_| true), None);
        zone.learn(&resolver, budget).await;
        let owner = Owner { asn: Some(Asn(64_500)), name: "Example VPN".into(), country: None };
        assert_eq!(zone.owner(address, |_| true), Some(owner));
        assert_eq!(asked.await.unwrap(), ["0.113.0.203.origin.asn.example.", "AS64500.asn.example."]);
        assert!(zone.cache().pending.is_empty());
    }
}
