//! An authoritative DNS zone that answers every name under it with the address that asked. A subject looks up a random
//! name below it through its resolver; what comes back is the resolver's own address as the world sees it.

use crate::{config::Canary, error::SwarmError, limiter::Limiter, sockets};
use hickory_proto::{
    op::{Edns, Message, MessageType, Metadata, OpCode, Query, ResponseCode},
    rr::{
        DNSClass, Name, RData, Record, RecordType,
        rdata::{A, AAAA, NS, SOA, TXT},
    },
};
use sentinel_model::Clock;
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};

/// A question with one name and its options; more is no question for this zone.
const MAX_QUERY: usize = 1232;
/// Resolvers of large providers ask for many users from one address.
const QUERIES_PER_SECOND: u64 = 200;
/// How many TCP connections are served at a time.
const MAX_CONNECTIONS: usize = 32;
/// How long a TCP peer may take for its next question.
const TCP_PATIENCE: Duration = Duration::from_secs(5);
/// How many questions one TCP connection may ask.
const MAX_PER_CONNECTION: usize = 16;
/// No answer may be kept: each is true of one asker at one moment.
const TTL: u32 = 0;

/// What the zone says.
#[derive(Debug)]
pub(crate) struct Zone {
    apex: Name,
    server: Name,
    addresses: Vec<IpAddr>,
}

impl Zone {
    /// A zone by its name. `addresses` are this node's own, which the name server's name resolves to.
    pub(crate) fn new(zone: &str, addresses: Vec<IpAddr>) -> Result<Self, SwarmError> {
        let wrong = |cause: String| SwarmError::Zone { zone: zone.to_owned(), cause };
        let mut apex = Name::from_ascii(zone).map_err(|error| wrong(error.to_string()))?.to_lowercase();
        apex.set_fqdn(true);
        if apex.is_root() {
            return Err(wrong("it is empty".to_owned()));
        }
        let server = apex.prepend_label("ns").map_err(|error| wrong(error.to_string()))?;
        Ok(Self { apex, server, addresses })
    }

    /// The answer to one packet from one asker; none to what is no question.
    pub(crate) fn answer(&self, packet: &[u8], asker: IpAddr) -> Option<Vec<u8>> {
        let request = Message::from_vec(packet).ok()?;
        if request.metadata.message_type != MessageType::Query {
            return None;
        }
        let mut response = Message::response(request.metadata.id, request.metadata.op_code);
        response.metadata = Metadata::response_from_request(&request.metadata);
        if request.edns.is_some() {
            let mut edns = Edns::new();
            edns.set_max_payload(u16::try_from(MAX_QUERY).unwrap_or(512));
            response.set_edns(edns);
        }
        match request.queries.as_slice() {
            _ if request.metadata.op_code != OpCode::Query => {
                response.metadata.response_code = ResponseCode::NotImp;
            }
            [query] => {
                response.add_query(query.clone());
                self.fill(&mut response, query, asker.to_canonical());
            }
            _ => response.metadata.response_code = ResponseCode::FormErr,
        }
        response.to_vec().ok()
    }

    fn fill(&self, response: &mut Message, query: &Query, asker: IpAddr) {
        let name = query.name();
        if query.query_class() != DNSClass::IN || !self.apex.zone_of(&name.to_lowercase()) {
            response.metadata.response_code = ResponseCode::Refused;
            return;
        }
        response.metadata.authoritative = true;
        let records = self.records(&name.to_lowercase(), query.query_type(), asker);
        if records.is_empty() {
            // NODATA (RFC 2308): the SOA says that there is no such record, and for how long.
            response.add_authority(Record::from_rdata(self.apex.clone(), TTL, RData::SOA(self.soa())));
        }
        for data in records {
            response.add_answer(Record::from_rdata(name.clone(), TTL, data));
        }
    }

    fn records(&self, name: &Name, kind: RecordType, asker: IpAddr) -> Vec<RData> {
        let own = *name == self.server;
        match kind {
            RecordType::SOA if *name == self.apex => vec![RData::SOA(self.soa())],
            RecordType::NS if *name == self.apex => vec![RData::NS(NS(self.server.clone()))],
            RecordType::TXT if !own => vec![RData::TXT(TXT::new(vec![asker.to_string()]))],
            RecordType::A | RecordType::AAAA if own => {
                self.addresses.iter().filter_map(|address| address_record(*address, kind)).collect()
            }
            RecordType::A | RecordType::AAAA => address_record(asker, kind).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    fn soa(&self) -> SOA {
        SOA::new(self.server.clone(), self.apex.clone(), 1, 3600, 600, 86_400, TTL)
    }
}

fn address_record(address: IpAddr, kind: RecordType) -> Option<RData> {
    match (address, kind) {
        (IpAddr::V4(v4), RecordType::A) => Some(RData::A(A(v4))),
        (IpAddr::V6(v6), RecordType::AAAA) => Some(RData::AAAA(AAAA(v6))),
        _ => None,
    }
}

/// Binds every address of the configuration and serves it in the given tasks. Gives the addresses bound.
pub(crate) fn start(
    canary: &Canary,
    addresses: Vec<IpAddr>,
    clock: &Clock,
    tasks: &mut JoinSet<()>,
) -> Result<Vec<SocketAddr>, SwarmError> {
    let zone = Arc::new(Zone::new(&canary.zone, addresses)?);
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut bound = Vec::new();
    for address in &canary.listen {
        let (udp, tcp) = bind_both(*address)?;
        bound.extend(udp.local_addr().ok());
        tasks.spawn(serve_udp(udp, Arc::clone(&zone), clock.clone()));
        tasks.spawn(serve_tcp(tcp, Arc::clone(&zone), Arc::clone(&permits)));
    }
    Ok(bound)
}

/// Both transports on one port, also when the system chooses it.
fn bind_both(address: SocketAddr) -> Result<(UdpSocket, TcpListener), SwarmError> {
    let tcp = sockets::tcp(address, "the canary zone")?;
    let port = tcp.local_addr().map_or(address.port(), |bound| bound.port());
    Ok((sockets::udp(SocketAddr::new(address.ip(), port), "the canary zone")?, tcp))
}

async fn serve_udp(socket: UdpSocket, zone: Arc<Zone>, clock: Clock) {
    let mut limiter = Limiter::new(QUERIES_PER_SECOND);
    let mut packet = [0; MAX_QUERY];
    loop {
        let (length, source) = match socket.recv_from(&mut packet).await {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!(%error, "canary socket");
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        if !limiter.admits(source.ip(), clock().boot) {
            continue;
        }
        let Some(answer) = packet.get(..length).and_then(|query| zone.answer(query, source.ip())) else {
            continue;
        };
        if let Err(error) = socket.send_to(&answer, source).await {
            tracing::debug!(%error, "canary answer not sent");
        }
    }
}

async fn serve_tcp(listener: TcpListener, zone: Arc<Zone>, permits: Arc<Semaphore>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let zone = Arc::clone(&zone);
                connections.spawn(async move {
                    if let Err(error) = converse(stream, peer.ip(), &zone).await {
                        tracing::debug!(%error, "canary connection");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "canary listener");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Questions and answers over one TCP connection, each with its length before it (RFC 1035, section 4.2.2).
async fn converse(mut stream: TcpStream, asker: IpAddr, zone: &Zone) -> std::io::Result<()> {
    for _ in 0..MAX_PER_CONNECTION {
        let length = usize::from(timeout(TCP_PATIENCE, stream.read_u16()).await??);
        if length > MAX_QUERY {
            return Ok(());
        }
        let mut query = vec![0; length];
        timeout(TCP_PATIENCE, stream.read_exact(&mut query)).await??;
        let Some(answer) = zone.answer(&query, asker) else { return Ok(()) };
        let Ok(length) = u16::try_from(answer.len()) else { return Ok(()) };
        let framed = [length.to_be_bytes().as_slice(), &answer].concat();
        timeout(TCP_PATIENCE, stream.write_all(&framed)).await??;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn zone() -> Zone {
        Zone::new("C.Probe.example", vec!["192.0.2.10".parse().unwrap()]).unwrap()
    }

    fn ask(name: &str, kind: RecordType, asker: &str) -> Message {
        let mut query = Message::query();
        query.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        let answer = zone().answer(&query.to_vec().unwrap(), asker.parse().unwrap()).unwrap();
        Message::from_vec(&answer).unwrap()
    }

    #[test]
    fn every_name_tells_the_asker_its_address() {
        let answer = ask("0123abcd.c.probe.EXAMPLE.", RecordType::TXT, "::ffff:198.51.100.53");
        assert!(answer.metadata.authoritative);
        assert_eq!(answer.answers[0].data.to_string().trim_matches('"'), "198.51.100.53");
        assert_eq!(answer.answers[0].ttl, 0);
        assert_eq!(ask("x.c.probe.example.", RecordType::AAAA, "2001:db8::53").answers.len(), 1);
        let other_family = ask("x.c.probe.example.", RecordType::AAAA, "198.51.100.53");
        assert!(other_family.answers.is_empty() && other_family.authorities.len() == 1);
    }

    #[test]
    fn the_apex_has_its_records_and_the_name_server_this_nodes_address() {
        assert_eq!(ask("c.probe.example.", RecordType::SOA, "198.51.100.53").answers.len(), 1);
        assert_eq!(ask("c.probe.example.", RecordType::NS, "198.51.100.53").answers.len(), 1);
        let server = ask("ns.c.probe.example.", RecordType::A, "198.51.100.53");
        assert_eq!(server.answers[0].data, RData::A(A("192.0.2.10".parse().unwrap())));
    }

    #[test]
    fn names_elsewhere_are_refused() {
        let answer = ask("probe.example.", RecordType::TXT, "198.51.100.53");
        assert_eq!(answer.metadata.response_code, ResponseCode::Refused);
        assert!(answer.answers.is_empty());
        assert!(Zone::new("", Vec::new()).is_err());
        assert!(Zone::new("a..b", Vec::new()).is_err());
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = zone().answer(&bytes, "198.51.100.53".parse().unwrap());
        }
    }
}
