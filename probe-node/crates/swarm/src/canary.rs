//! The canary zone: an authoritative DNS zone that answers with the source address of the query.
//!
//! A subject looks up a random name in the zone through its resolver. The answer is the address
//! from which the resolver sends its queries, as the world sees it.
//!
//! The source of a UDP query may be forged, so that the response hits a third party. Responses over
//! UDP are therefore at most three times as long as their query, and a source that sends many gets
//! empty ones. Both have the TC flag, at which a real resolver asks again over TCP.

use crate::{
    config::CanaryConfig, error::SwarmError, rate_limiter::SourceRateLimiter, sockets, subnet::subnet,
};
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
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinSet,
    time::timeout,
};

/// The longest query in bytes. One name with its options fits.
const MAX_QUERY: usize = 1232;
/// The rate limit per source. Large resolvers query for many users from one address.
const QUERIES_PER_SECOND: u64 = 200;
/// How much longer than its query a response over UDP may be.
const MAX_AMPLIFICATION: usize = 3;
/// The most addresses of each family that the name server has in the zone.
const MAX_ADDRESSES: usize = 2;
/// The most TCP connections served at once.
const MAX_CONNECTIONS: usize = 128;
/// The most TCP connections from one network.
const MAX_CONNECTIONS_PER_SUBNET: usize = 8;
/// How long a TCP client may take for each read or write.
const TCP_TIMEOUT: Duration = Duration::from_secs(3);
/// The most queries on one TCP connection.
const MAX_QUERIES_PER_CONNECTION: usize = 16;
/// The TTL of every record. Answers must not be cached, since each depends on who sent the query.
const TTL: u32 = 0;

/// The content of a canary zone.
#[derive(Debug)]
pub(crate) struct CanaryZone {
    apex: Name,
    /// The name of the zone's name server.
    name_server: Name,
    /// The addresses of the name server, which is this node.
    addresses: Vec<IpAddr>,
}

/// How a query came, which limits the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueryTransport {
    /// From an address that may be forged.
    Udp,
    /// From an address that may be forged and sends more than its rate.
    UdpOverRate,
    /// From an address that took part in a handshake.
    Tcp,
}

impl CanaryZone {
    /// Makes a zone from its name and the addresses of this node, its name server.
    pub(crate) fn new(zone: &str, addresses: Vec<IpAddr>) -> Result<Self, SwarmError> {
        let unusable = |cause: String| SwarmError::Zone { zone: zone.to_owned(), cause };
        let mut apex = Name::from_ascii(zone).map_err(|error| unusable(error.to_string()))?.to_lowercase();
        apex.set_fqdn(true);
        if apex.is_root() {
            return Err(unusable("it is empty".to_owned()));
        }
        let name_server = apex.prepend_label("ns").map_err(|error| unusable(error.to_string()))?;
        let (mut v4, mut v6): (Vec<_>, Vec<_>) = addresses.into_iter().partition(IpAddr::is_ipv4);
        v4.truncate(MAX_ADDRESSES);
        v6.truncate(MAX_ADDRESSES);
        Ok(Self { apex, name_server, addresses: [v4, v6].concat() })
    }

    /// Returns the response to a packet from `source`, or `None` if it is not a query.
    pub(crate) fn respond(
        &self,
        packet: &[u8],
        source: IpAddr,
        transport: QueryTransport,
    ) -> Option<Vec<u8>> {
        let request = Message::from_vec(packet).ok()?;
        if request.metadata.message_type != MessageType::Query {
            return None;
        }
        let response = self.response(&request, source);
        let encoded = response.to_vec().ok()?;
        let too_long = encoded.len() > packet.len().saturating_mul(MAX_AMPLIFICATION);
        match transport {
            QueryTransport::Tcp => Some(encoded),
            QueryTransport::Udp if !too_long => Some(encoded),
            QueryTransport::Udp | QueryTransport::UdpOverRate => response.truncate().to_vec().ok(),
        }
    }

    fn response(&self, request: &Message, source: IpAddr) -> Message {
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
                self.add_answers(&mut response, query, source.to_canonical());
            }
            _ => response.metadata.response_code = ResponseCode::FormErr,
        }
        response
    }

    fn add_answers(&self, response: &mut Message, query: &Query, source: IpAddr) {
        let name = query.name();
        if query.query_class() != DNSClass::IN || !self.apex.zone_of(&name.to_lowercase()) {
            response.metadata.response_code = ResponseCode::Refused;
            return;
        }
        response.metadata.authoritative = true;
        let records = self.records(&name.to_lowercase(), query.query_type(), source);
        if records.is_empty() {
            // NODATA (RFC 2308): the SOA states that no such record exists, and for how long.
            response.add_authority(Record::from_rdata(self.apex.clone(), TTL, RData::SOA(self.soa())));
        }
        for data in records {
            response.add_answer(Record::from_rdata(name.clone(), TTL, data));
        }
    }

    fn records(&self, name: &Name, kind: RecordType, source: IpAddr) -> Vec<RData> {
        let is_name_server = *name == self.name_server;
        match kind {
            RecordType::SOA if *name == self.apex => vec![RData::SOA(self.soa())],
            RecordType::NS if *name == self.apex => vec![RData::NS(NS(self.name_server.clone()))],
            RecordType::TXT if !is_name_server => vec![RData::TXT(TXT::new(vec![source.to_string()]))],
            RecordType::A | RecordType::AAAA if is_name_server => {
                self.addresses.iter().filter_map(|address| address_record(*address, kind)).collect()
            }
            RecordType::A | RecordType::AAAA => address_record(source, kind).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    fn soa(&self) -> SOA {
        SOA::new(self.name_server.clone(), self.apex.clone(), 1, 3600, 600, 86_400, TTL)
    }
}

fn address_record(address: IpAddr, kind: RecordType) -> Option<RData> {
    match (address, kind) {
        (IpAddr::V4(v4), RecordType::A) => Some(RData::A(A(v4))),
        (IpAddr::V6(v6), RecordType::AAAA) => Some(RData::AAAA(AAAA(v6))),
        _ => None,
    }
}

/// Binds every configured address and spawns the tasks that serve it. Returns the bound addresses.
pub(crate) fn start(
    config: &CanaryConfig,
    addresses: Vec<IpAddr>,
    clock: &Clock,
    tasks: &mut JoinSet<()>,
) -> Result<Vec<SocketAddr>, SwarmError> {
    let zone = Arc::new(CanaryZone::new(&config.zone, addresses)?);
    let slots = Arc::new(ConnectionSlots::default());
    let mut bound = Vec::new();
    for address in &config.listen {
        let (udp, tcp) = bind_udp_and_tcp(*address)?;
        bound.extend(udp.local_addr().ok());
        tasks.spawn(serve_udp(udp, Arc::clone(&zone), clock.clone()));
        tasks.spawn(serve_tcp(tcp, Arc::clone(&zone), Arc::clone(&slots)));
    }
    Ok(bound)
}

/// Binds both transports to one port, including when the system chooses it.
fn bind_udp_and_tcp(address: SocketAddr) -> Result<(UdpSocket, TcpListener), SwarmError> {
    let tcp = sockets::bind_tcp(address, "the canary zone")?;
    let port = tcp.local_addr().map_or(address.port(), |bound| bound.port());
    Ok((sockets::bind_udp(SocketAddr::new(address.ip(), port), "the canary zone")?, tcp))
}

async fn serve_udp(socket: UdpSocket, zone: Arc<CanaryZone>, clock: Clock) {
    let mut limiter = SourceRateLimiter::new(QUERIES_PER_SECOND);
    let mut over_rate = 0_u64;
    let mut packet = [0; MAX_QUERY];
    loop {
        let (length, source) = match socket.recv_from(&mut packet).await {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!(%error, "The canary zone could not receive a query");
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        let transport = if limiter.admits(source.ip(), clock().boot) {
            QueryTransport::Udp
        } else {
            over_rate = over_rate.wrapping_add(1);
            // Half of the surplus is dropped, so that a flood costs half.
            if over_rate.is_multiple_of(2) {
                continue;
            }
            QueryTransport::UdpOverRate
        };
        let query = packet.get(..length);
        let Some(response) = query.and_then(|query| zone.respond(query, source.ip(), transport)) else {
            continue;
        };
        if let Err(error) = socket.send_to(&response, source).await {
            tracing::debug!(%error, "The canary zone could not send a response");
        }
    }
}

async fn serve_tcp(listener: TcpListener, zone: Arc<CanaryZone>, slots: Arc<ConnectionSlots>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Without a slot the connection is closed.
                let Some(slot) = ConnectionSlots::take(&slots, peer.ip()) else { continue };
                let zone = Arc::clone(&zone);
                connections.spawn(async move {
                    if let Err(error) = serve_connection(stream, peer.ip(), &zone).await {
                        tracing::debug!(%error, "A TCP connection to the canary zone failed");
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "The canary zone could not accept a TCP connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// The networks of the TCP connections that are served.
#[derive(Debug, Default)]
struct ConnectionSlots(Mutex<Vec<IpAddr>>);

/// The right to serve one connection, until it is dropped.
struct ConnectionSlot {
    slots: Arc<ConnectionSlots>,
    subnet: IpAddr,
}

impl ConnectionSlots {
    /// Returns a slot for a connection, or `None` if there are too many.
    fn take(this: &Arc<Self>, client: IpAddr) -> Option<ConnectionSlot> {
        let subnet = subnet(client);
        let mut taken = this.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_subnet = taken.iter().filter(|other| **other == subnet).count();
        if taken.len() >= MAX_CONNECTIONS || of_subnet >= MAX_CONNECTIONS_PER_SUBNET {
            return None;
        }
        taken.push(subnet);
        Some(ConnectionSlot { slots: Arc::clone(this), subnet })
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut taken = self.slots.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = taken.iter().position(|subnet| *subnet == self.subnet) {
            taken.swap_remove(index);
        }
    }
}

/// Serves one TCP connection. Each message is preceded by its length (RFC 1035, section 4.2.2).
async fn serve_connection(mut stream: TcpStream, source: IpAddr, zone: &CanaryZone) -> std::io::Result<()> {
    for _ in 0..MAX_QUERIES_PER_CONNECTION {
        let length = usize::from(timeout(TCP_TIMEOUT, stream.read_u16()).await??);
        if length > MAX_QUERY {
            return Ok(());
        }
        let mut query = vec![0; length];
        timeout(TCP_TIMEOUT, stream.read_exact(&mut query)).await??;
        let Some(response) = zone.respond(&query, source, QueryTransport::Tcp) else { return Ok(()) };
        let Ok(length) = u16::try_from(response.len()) else { return Ok(()) };
        let framed = [length.to_be_bytes().as_slice(), &response].concat();
        timeout(TCP_TIMEOUT, stream.write_all(&framed)).await??;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn zone() -> CanaryZone {
        CanaryZone::new("C.Probe.example", vec!["192.0.2.10".parse().unwrap()]).unwrap()
    }

    fn ask(name: &str, kind: RecordType, source: &str) -> Message {
        let mut query = Message::query();
        query.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        let response =
            zone().respond(&query.to_vec().unwrap(), source.parse().unwrap(), QueryTransport::Tcp).unwrap();
        Message::from_vec(&response).unwrap()
    }

    #[test]
    fn every_name_resolves_to_the_source_of_the_query() {
        let response = ask("0123abcd.c.probe.EXAMPLE.", RecordType::TXT, "::ffff:198.51.100.53");
        assert!(response.metadata.authoritative);
        assert_eq!(response.answers[0].data.to_string().trim_matches('"'), "198.51.100.53");
        assert_eq!(response.answers[0].ttl, 0);
        assert_eq!(ask("x.c.probe.example.", RecordType::AAAA, "2001:db8::53").answers.len(), 1);
        let other_family = ask("x.c.probe.example.", RecordType::AAAA, "198.51.100.53");
        assert!(other_family.answers.is_empty() && other_family.authorities.len() == 1);
    }

    #[test]
    fn the_apex_has_its_records_and_the_name_server_has_this_nodes_address() {
        assert_eq!(ask("c.probe.example.", RecordType::SOA, "198.51.100.53").answers.len(), 1);
        assert_eq!(ask("c.probe.example.", RecordType::NS, "198.51.100.53").answers.len(), 1);
        let server = ask("ns.c.probe.example.", RecordType::A, "198.51.100.53");
        assert_eq!(server.answers[0].data, RData::A(A("192.0.2.10".parse().unwrap())));
    }

    #[test]
    fn names_outside_the_zone_are_refused() {
        let response = ask("probe.example.", RecordType::TXT, "198.51.100.53");
        assert_eq!(response.metadata.response_code, ResponseCode::Refused);
        assert!(response.answers.is_empty());
        assert!(CanaryZone::new("", Vec::new()).is_err());
        assert!(CanaryZone::new("a..b", Vec::new()).is_err());
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = zone().respond(&bytes, "198.51.100.53".parse().unwrap(), QueryTransport::Udp);
        }
    }
}
