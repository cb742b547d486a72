//! Queries from a host: STUN, DNS, HTTP and echo requests.
//!
//! They show the state of the world independently of the programs under test, as a STUN client,
//! `dig`, `curl` and `ping` would.

use crate::{host::Host, plan};
use anyhow::{Context, Result, bail, ensure};
use hickory_proto::{
    op::{Message, MessageType, OpCode, Query},
    rr::{DNSClass, Name, RecordType},
};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, UdpSocket},
    time::timeout,
};

/// Longest time to wait for an answer, by default.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// Options of a query.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProbeOptions {
    /// The interface to which the socket is bound; without one, the routes decide.
    pub(crate) device: Option<&'static str>,
    /// Longest time to wait for an answer.
    pub(crate) patience: Duration,
}

impl Default for ProbeOptions {
    fn default() -> Self {
        Self { device: None, patience: PATIENCE }
    }
}

/// Returns the mapped address of a fresh socket on a host, and how long the answer took.
///
/// The address is the XOR-MAPPED-ADDRESS of RFC 8489.
///
/// # Errors
/// Fails if three requests in a row get no answer.
pub async fn query_stun(host: &Host, server: IpAddr) -> Result<(IpAddr, Duration)> {
    for _ in 0..2 {
        if let Ok(seen) = query_stun_once(host, server, ProbeOptions::default()).await {
            return Ok(seen);
        }
    }
    query_stun_once(host, server, ProbeOptions::default()).await
}

/// Like [`query_stun`], with a single request and certain options.
pub(crate) async fn query_stun_once(
    host: &Host,
    server: IpAddr,
    options: ProbeOptions,
) -> Result<(IpAddr, Duration)> {
    host.run(move || async move {
        let socket = UdpSocket::bind((unspecified(server), 0)).await?;
        socket.bind_device(options.device.map(str::as_bytes))?;
        socket.connect((server, plan::STUN_PORT)).await?;
        let mut request = [0u8; 20];
        request[1] = 1;
        request[4..8].copy_from_slice(&0x2112_A442_u32.to_be_bytes());
        request[8..].copy_from_slice(b"lab is here!");
        let (sent, mut reply) = (Instant::now(), [0u8; 512]);
        socket.send(&request).await?;
        let length = timeout(options.patience, socket.recv(&mut reply))
            .await
            .with_context(|| format!("the STUN server at {server} does not answer"))??;
        Ok((parse_mapped_address(reply.get(..length).unwrap_or_default())?, sent.elapsed()))
    })
    .await
}

fn unspecified(like: IpAddr) -> IpAddr {
    if like.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

/// Parses the XOR-MAPPED-ADDRESS attribute of a STUN response.
fn parse_mapped_address(reply: &[u8]) -> Result<IpAddr> {
    let key = reply.get(4..20).context("the reply is truncated")?;
    let mut rest = &reply[20..];
    while let [kind0, kind1, length0, length1, value @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*length0, *length1]));
        let (whole, padded) = (value.get(..length), value.get(length.next_multiple_of(4)..));
        if u16::from_be_bytes([*kind0, *kind1]) == 0x0020 {
            let masked = whole.and_then(|whole| whole.get(4..)).context("the reply is truncated")?;
            let plain: Vec<u8> = masked.iter().zip(key).map(|(byte, key)| byte ^ key).collect();
            return match <[u8; 4]>::try_from(&plain[..]) {
                Ok(octets) => Ok(octets.into()),
                Err(_) => Ok(<[u8; 16]>::try_from(&plain[..])?.into()),
            };
        }
        rest = padded.unwrap_or_default();
    }
    bail!("no mapped address in the reply")
}

/// Looks up a name through the system's resolver, as applications do.
///
/// # Errors
/// Fails if the name has no address.
pub async fn look_up(host: &Host, name: &str) -> Result<Vec<IpAddr>> {
    let name = name.to_owned();
    host.run(move || async move {
        let found = timeout(Duration::from_secs(5), tokio::net::lookup_host((name, 0))).await??;
        Ok(found.map(|address| address.ip()).collect())
    })
    .await
}

/// A DNS query to one resolver.
#[derive(Clone, Debug)]
pub(crate) struct DnsQuestion {
    pub(crate) resolver: IpAddr,
    pub(crate) name: String,
    pub(crate) class: DNSClass,
    pub(crate) kind: RecordType,
    pub(crate) by_tcp: bool,
}

impl DnsQuestion {
    /// Returns a query for the addresses of a name.
    pub(crate) fn address(resolver: IpAddr, name: &str, kind: RecordType) -> Self {
        Self { resolver, name: name.to_owned(), class: DNSClass::IN, kind, by_tcp: false }
    }

    /// Returns a query for the identity of the resolver, which is the name of its host.
    pub(crate) fn identity(resolver: IpAddr, by_tcp: bool) -> Self {
        Self { resolver, name: "id.server.".to_owned(), class: DNSClass::CH, kind: RecordType::TXT, by_tcp }
    }

    fn encode(&self) -> Result<Vec<u8>> {
        let mut query = Query::query(Name::from_ascii(&self.name)?, self.kind);
        query.set_query_class(self.class);
        let mut message = Message::new(fastrand::u16(..), MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(query);
        Ok(message.to_vec()?)
    }
}

/// Queries a resolver.
///
/// Returns the records of the answer in the syntax of zone files, or the response code if there are
/// none.
pub(crate) async fn query_resolver(
    host: &Host,
    question: DnsQuestion,
    options: ProbeOptions,
) -> Result<Vec<String>> {
    host.run(move || async move {
        let request = question.encode()?;
        let server = SocketAddr::new(question.resolver, 53);
        let exchange = async {
            let mut reply = vec![0; 4096];
            if !question.by_tcp {
                let socket = UdpSocket::bind((unspecified(server.ip()), 0)).await?;
                socket.bind_device(options.device.map(str::as_bytes))?;
                socket.connect(server).await?;
                socket.send(&request).await?;
                let length = socket.recv(&mut reply).await?;
                reply.truncate(length);
                return anyhow::Ok(reply);
            }
            let socket = if server.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            socket.bind_device(options.device.map(str::as_bytes))?;
            let mut stream = socket.connect(server).await?;
            stream.write_all(&[&u16::try_from(request.len())?.to_be_bytes()[..], &request].concat()).await?;
            let length = stream.read_u16().await?;
            reply.truncate(length.into());
            stream.read_exact(&mut reply).await?;
            Ok(reply)
        };
        let reply = timeout(options.patience, exchange)
            .await
            .with_context(|| format!("the resolver at {server} does not answer"))??;
        let answer = Message::from_vec(&reply)?;
        let records: Vec<_> = answer.answers.iter().map(|record| record.data.to_string()).collect();
        let code = format!("{:?}", answer.metadata.response_code);
        Ok(if records.is_empty() { vec![code] } else { records })
    })
    .await
}

/// The reply of an HTTPS service.
#[derive(Clone, Debug)]
pub struct HttpsReply {
    /// The status code.
    pub status: u16,
    /// The first chunk of the body, without surrounding white space.
    pub text: String,
}

/// Requests the root page of an HTTPS service over IPv4, on a fresh connection.
///
/// The name is looked up unless its address is given.
///
/// # Errors
/// Fails without an answer in time, or without a certificate of this authority.
pub async fn get_https(
    host: &Host,
    authority: &Path,
    name: &str,
    address: Option<IpAddr>,
    patience: Duration,
) -> Result<HttpsReply> {
    let (authority, name) = (std::fs::read(authority)?, name.to_owned());
    host.run(move || async move {
        let authority = reqwest::Certificate::from_pem(&authority)?;
        let mut client = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([authority])
            .local_address(IpAddr::from(Ipv4Addr::UNSPECIFIED));
        if let Some(address) = address {
            client = client.resolve(&name, SocketAddr::new(address, 443));
        }
        let request = client.build()?.get(format!("https://{name}/"));
        let exchange = async {
            let mut response = request.send().await?;
            let status = response.status().as_u16();
            let first = response.chunk().await?.unwrap_or_default();
            let text = String::from_utf8_lossy(&first).trim().to_owned();
            anyhow::Ok(HttpsReply { status, text })
        };
        timeout(patience, exchange).await.with_context(|| format!("{name} does not answer"))?
    })
    .await
}

/// Requests the root page of a web server over unencrypted HTTP, and returns the whole reply.
pub(crate) async fn get_http(host: &Host, address: Ipv4Addr, options: ProbeOptions) -> Result<String> {
    host.run(move || async move {
        let exchange = async {
            let socket = TcpSocket::new_v4()?;
            socket.bind_device(options.device.map(str::as_bytes))?;
            let mut stream = socket.connect((address, 80).into()).await?;
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
            let mut text = String::new();
            stream.read_to_string(&mut text).await?;
            anyhow::Ok(text)
        };
        timeout(options.patience, exchange).await.with_context(|| format!("{address} does not answer"))?
    })
    .await
}

/// The replies to a series of echo requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PingStats {
    pub(crate) sent: u32,
    pub(crate) answered: u32,
    pub(crate) best: Duration,
    pub(crate) worst: Duration,
}

/// Sends echo requests, fifty per second, and waits up to a second for each reply.
pub(crate) async fn ping(host: &Host, address: IpAddr, count: u32) -> Result<PingStats> {
    let script = format!("ping -n -i 0.02 -W 1 -c {count} {address} || true");
    let output = host.output("sh", &["-c", &script], "").await?;
    let times = output.lines().filter_map(|line| line.split_once("time=")?.1.split(' ').next()?.parse().ok());
    let times: Vec<_> = times.filter_map(|ms: f64| Duration::try_from_secs_f64(ms / 1000.0).ok()).collect();
    ensure!(output.contains("packets transmitted"), "ping did not run: {output}");
    Ok(PingStats {
        sent: count,
        answered: u32::try_from(times.len())?,
        best: times.iter().min().copied().unwrap_or(Duration::MAX),
        worst: times.iter().max().copied().unwrap_or(Duration::MAX),
    })
}
