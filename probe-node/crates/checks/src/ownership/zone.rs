//! Who operates an address, by asking a DNS zone in Team Cymru's form: `<reversed address>.origin.<zone>` names the
//! AS, `AS<n>.<zone>` its operator. Asked is about the network (/24, /48) and never the address: routes are no finer
//! than that, and nobody learns which address in it was of interest.

use crate::{
    error::CheckError,
    names::{self, NoRecord, Servers},
    settings::Service,
};
use futures::future::join_all;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use ipnet::IpNet;
use sentinel_model::{Asn, Owner, Reason};
use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// Operators seldom change.
const KNOWN_FOR: Duration = Duration::from_hours(24);
/// What could not be told is asked again, but not at once.
const UNKNOWN_FOR: Duration = Duration::from_mins(10);
/// More networks than a machine meets in a day.
const MAX_NETWORKS: usize = 1024;
/// Questions at once.
const MAX_NOTED: usize = 32;

/// A service that tells operators, and what it told.
#[derive(Debug)]
pub(super) struct Lookup {
    zone: String,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    told: HashMap<IpNet, Told>,
    noted: BTreeSet<IpNet>,
}

#[derive(Debug)]
struct Told {
    owner: Option<Owner>,
    until: Instant,
}

impl Lookup {
    pub(super) fn new(service: &Service) -> Result<Self, CheckError> {
        let wrong = |_| CheckError::Service {
            name: service.name.clone(),
            address: service.address.clone(),
            expected: "a domain name",
        };
        names::parse(&service.address).map_err(wrong)?;
        Ok(Self { zone: service.address.clone(), memory: Mutex::default() })
    }

    /// What was told about the address. If nothing was, or long ago, it is noted where it may be asked about.
    pub(super) fn owner(&self, address: IpAddr, may_ask: impl Fn(&IpNet) -> bool) -> Option<Owner> {
        let network = network(address)?;
        let mut memory = self.memory();
        let told = memory.told.get(&network);
        let (owner, fresh) =
            told.map_or((None, false), |told| (told.owner.clone(), told.until > Instant::now()));
        if !fresh && memory.noted.len() < MAX_NOTED && may_ask(&network) {
            memory.noted.insert(network);
        }
        owner
    }

    /// Asks about everything noted, all at once.
    pub(super) async fn learn(&self, system: &[SocketAddr], budget: Duration) {
        let noted = std::mem::take(&mut self.memory().noted);
        if noted.is_empty() {
            return;
        }
        // Two questions in a row, one about the network and one about its AS.
        let servers = match Servers::new(system, budget / 2) {
            Ok(servers) => servers,
            Err(reason) => {
                tracing::debug!(%reason, "cannot ask who operates addresses");
                return;
            }
        };
        let servers = &servers;
        join_all(noted.into_iter().map(|network| async move {
            let asked = timeout(budget, self.ask(servers, network)).await;
            self.keep(network, asked.unwrap_or(Err(Reason::TimedOut)));
        }))
        .await;
    }

    async fn ask(&self, servers: &Servers, network: IpNet) -> Result<Option<Owner>, Reason> {
        let told = texts(servers, &question(network, &self.zone)).await?;
        let Some(asn) = told.iter().find_map(|text| origin(text)) else { return Ok(None) };
        let about = texts(servers, &format!("{asn}.{}", self.zone)).await.unwrap_or_default();
        let name = about.iter().find_map(|text| operator(text)).unwrap_or_else(|| asn.to_string());
        // The country told is the registry's, where the operator may be; it says nothing about this address.
        Ok(Some(Owner { asn: Some(asn), name, country: None }))
    }

    fn keep(&self, network: IpNet, asked: Result<Option<Owner>, Reason>) {
        let owner = asked.unwrap_or_else(|reason| {
            tracing::debug!(%network, %reason, "could not learn who operates a network");
            None
        });
        let now = Instant::now();
        let mut memory = self.memory();
        // An operator known before outlives a service that does not answer.
        let before = memory.told.remove(&network).and_then(|told| told.owner);
        let lasts = if owner.is_some() { KNOWN_FOR } else { UNKNOWN_FOR };
        if memory.told.len() >= MAX_NETWORKS {
            let oldest = memory.told.iter().min_by_key(|(_, told)| told.until).map(|(network, _)| *network);
            oldest.and_then(|oldest| memory.told.remove(&oldest));
        }
        memory.told.insert(network, Told { owner: owner.or(before), until: now + lasts });
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn texts(servers: &Servers, name: &str) -> Result<Vec<String>, Reason> {
    let name: Name = names::parse(name).map_err(Reason::Failed)?;
    let records = match servers.records(&name, RecordType::TXT).await {
        Err(NoRecord::Because(reason)) => return Err(reason),
        Err(NoRecord::Nonexistent) => Vec::new(),
        Ok(records) => records,
    };
    let texts = records.iter().filter_map(|record| match record {
        RData::TXT(text) => String::from_utf8(text.txt_data.concat()).ok(),
        _ => None,
    });
    Ok(texts.collect())
}

/// The network to ask about; none for what the internet has no route to.
fn network(address: IpAddr) -> Option<IpNet> {
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
    // Writing to a string does not fail.
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

/// The AS in an answer about a network: `23028 | 216.90.108.0/24 | US | arin | 1998-09-25`. Of several origins the
/// first is taken.
pub(crate) fn origin(text: &str) -> Option<Asn> {
    text.split('|').next()?.split_whitespace().next()?.parse().ok().filter(|asn| *asn != 0).map(Asn)
}

/// The operator in an answer about an AS: `23028 | US | arin | 2002-01-04 | TEAM-CYMRU - Team Cymru Inc., US`, without
/// the short name before it and the country's code after it.
pub(crate) fn operator(text: &str) -> Option<String> {
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
    fn the_network_is_asked_about_and_not_the_address() {
        let asked =
            |address: &str| network(address.parse().unwrap()).map(|network| question(network, "asn.example"));
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
    fn answers_are_read_and_nonsense_is_nothing() {
        assert_eq!(origin("23028 | 216.90.108.0/24 | US | arin | 1998-09-25"), Some(Asn(23_028)));
        assert_eq!(origin("701 1239 | 198.6.0.0/16 | US | arin | "), Some(Asn(701)));
        for bad in ["", "|", "AS1 | x", "0 | x", "99999999999 | x", "<html>"] {
            assert_eq!(origin(bad), None, "{bad}");
        }
        let about = "23028 | US | arin | 2002-01-04 | TEAM-CYMRU - Team Cymru Inc., US";
        assert_eq!(operator(about).as_deref(), Some("Team Cymru Inc."));
        assert_eq!(operator("1 | SE | ripencc | | EXAMPLE, SE").as_deref(), Some("EXAMPLE"));
        assert_eq!(operator("1 | SE | ripencc"), None);
        assert_eq!(operator("1 | SE | ripencc | | "), None);
        assert_eq!(operator(&format!("1||||{}", "x".repeat(5000))).map(|name| name.len()), Some(100));
    }

    #[test]
    fn memory_is_bounded_and_keeps_what_was_known() {
        let lookup = Lookup::new(&Service::new("asn", "asn.example")).unwrap();
        let owner = Owner { asn: Some(Asn(64_500)), name: "Example".into(), country: None };
        let address: IpAddr = "203.0.113.7".parse().unwrap();
        assert_eq!(lookup.owner(address, |_| true), None);
        lookup.keep(network(address).unwrap(), Ok(Some(owner.clone())));
        lookup.keep(network(address).unwrap(), Err(Reason::TimedOut));
        assert_eq!(lookup.owner(address, |_| true), Some(owner), "a dead service takes nothing away");
        for third in 0..=255 {
            for second in 0..8 {
                let network = IpNet::new_assert(IpAddr::from([20, second, third, 0]), 24);
                lookup.owner(network.addr(), |_| true);
                lookup.keep(network, Ok(None));
            }
        }
        let memory = lookup.memory();
        assert!(memory.told.len() <= MAX_NETWORKS && memory.noted.len() <= MAX_NOTED);
    }

    #[tokio::test]
    async fn what_was_noted_is_asked_about_once_and_then_known() {
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
        let lookup = Lookup::new(&Service::new("asn", "asn.example")).unwrap();
        let address = [203, 0, 113, 77].into();
        let budget = Duration::from_secs(5);
        lookup.learn(&[server], budget).await; // nothing was noted, nobody is asked
        assert_eq!(lookup.owner(address, |_| true), None);
        lookup.learn(&[server], budget).await;
        let owner = Owner { asn: Some(Asn(64_500)), name: "Example VPN".into(), country: None };
        assert_eq!(lookup.owner(address, |_| true), Some(owner));
        assert_eq!(asked.await.unwrap(), ["0.113.0.203.origin.asn.example.", "AS64500.asn.example."]);
        assert!(lookup.memory().noted.is_empty());
    }
}
