//! What can be seen from a host, by the questions a person would ask there with a STUN client, `dig`, `ping` or `curl`.
//! They prove that the world is what a story says it is, independently of the programs under test.

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

/// How long one answer may take, unless somebody has reason to wait longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// How a packet leaves a host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// The only interface it may take; by the routes, if none.
    pub(crate) device: Option<&'static str>,
    /// How long to wait for an answer.
    pub(crate) patience: Duration,
}

impl Default for Way {
    fn default() -> Self {
        Self { device: None, patience: PATIENCE }
    }
}

/// What the STUN server there says a fresh socket on this host looks like (RFC 8489, XOR-MAPPED-ADDRESS), and how long it
/// took.
///
/// # Errors
/// Three questions in a row got no answer.
pub async fn mapped(host: &Host, server: IpAddr) -> Result<(IpAddr, Duration)> {
    for _ in 0..2 {
        if let Ok(seen) = mapped_by(host, server, Way::default()).await {
            return Ok(seen);
        }
    }
    mapped_by(host, server, Way::default()).await
}

/// The same, asked once and in a particular way.
pub(crate) async fn mapped_by(host: &Host, server: IpAddr, way: Way) -> Result<(IpAddr, Duration)> {
    host.run(move || async move {
        let socket = UdpSocket::bind((unspecified(server), 0)).await?;
        socket.bind_device(way.device.map(str::as_bytes))?;
        socket.connect((server, plan::STUN_PORT)).await?;
        let mut request = [0u8; 20];
        request[1] = 1;
        request[4..8].copy_from_slice(&0x2112_A442_u32.to_be_bytes());
        request[8..].copy_from_slice(b"lab is here!");
        let (sent, mut reply) = (Instant::now(), [0u8; 512]);
        socket.send(&request).await?;
        let length = timeout(way.patience, socket.recv(&mut reply))
            .await
            .with_context(|| format!("the STUN server at {server} does not answer"))??;
        Ok((xor_mapped(reply.get(..length).unwrap_or_default())?, sent.elapsed()))
    })
    .await
}

fn unspecified(like: IpAddr) -> IpAddr {
    if like.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

fn xor_mapped(reply: &[u8]) -> Result<IpAddr> {
    let key = reply.get(4..20).context("cut short")?;
    let mut rest = &reply[20..];
    while let [kind0, kind1, length0, length1, value @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*length0, *length1]));
        let (whole, padded) = (value.get(..length), value.get(length.next_multiple_of(4)..));
        if u16::from_be_bytes([*kind0, *kind1]) == 0x0020 {
            let masked = whole.and_then(|whole| whole.get(4..)).context("cut short")?;
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

/// Looks a name up the way applications do.
///
/// # Errors
/// It has no address.
pub async fn look_up(host: &Host, name: &str) -> Result<Vec<IpAddr>> {
    let name = name.to_owned();
    host.run(move || async move {
        let found = timeout(Duration::from_secs(5), tokio::net::lookup_host((name, 0))).await??;
        Ok(found.map(|address| address.ip()).collect())
    })
    .await
}

/// A question to one resolver.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) resolver: IpAddr,
    pub(crate) name: String,
    pub(crate) class: DNSClass,
    pub(crate) kind: RecordType,
    pub(crate) by_tcp: bool,
}

impl Question {
    /// What addresses a name has.
    pub(crate) fn address(resolver: IpAddr, name: &str, kind: RecordType) -> Self {
        Self { resolver, name: name.to_owned(), class: DNSClass::IN, kind, by_tcp: false }
    }

    /// Who it is that answers for this address: every resolver of the lab says its host's name.
    pub(crate) fn identity(resolver: IpAddr, by_tcp: bool) -> Self {
        Self { resolver, name: "id.server.".to_owned(), class: DNSClass::CH, kind: RecordType::TXT, by_tcp }
    }

    fn bytes(&self) -> Result<Vec<u8>> {
        let mut query = Query::query(Name::from_ascii(&self.name)?, self.kind);
        query.set_query_class(self.class);
        let mut message = Message::new(fastrand::u16(..), MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(query);
        Ok(message.to_vec()?)
    }
}

/// The records a resolver answers with, as they are written in zone files, or the response code if there are none.
pub(crate) async fn ask(host: &Host, question: Question, way: Way) -> Result<Vec<String>> {
    host.run(move || async move {
        let request = question.bytes()?;
        let server = SocketAddr::new(question.resolver, 53);
        let exchange = async {
            let mut reply = vec![0; 4096];
            if !question.by_tcp {
                let socket = UdpSocket::bind((unspecified(server.ip()), 0)).await?;
                socket.bind_device(way.device.map(str::as_bytes))?;
                socket.connect(server).await?;
                socket.send(&request).await?;
                let length = socket.recv(&mut reply).await?;
                reply.truncate(length);
                return anyhow::Ok(reply);
            }
            let socket = if server.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            socket.bind_device(way.device.map(str::as_bytes))?;
            let mut stream = socket.connect(server).await?;
            stream.write_all(&[&u16::try_from(request.len())?.to_be_bytes()[..], &request].concat()).await?;
            let length = stream.read_u16().await?;
            reply.truncate(length.into());
            stream.read_exact(&mut reply).await?;
            Ok(reply)
        };
        let reply = timeout(way.patience, exchange)
            .await
            .with_context(|| format!("the resolver at {server} does not answer"))??;
        let answer = Message::from_vec(&reply)?;
        let records: Vec<_> = answer.answers.iter().map(|record| record.data.to_string()).collect();
        let code = format!("{:?}", answer.metadata.response_code);
        Ok(if records.is_empty() { vec![code] } else { records })
    })
    .await
}

/// What an HTTPS service answered.
#[derive(Clone, Debug)]
pub struct Page {
    /// The status code.
    pub status: u16,
    /// The first of its text, without white space around it.
    pub text: String,
}

/// What an HTTPS service says, asked over IPv4 on a fresh connection, certificates checked. Its name is looked up, unless
/// its address is known.
///
/// # Errors
/// No answer in time, or none with a certificate of that authority.
pub async fn https(
    host: &Host,
    authority: &Path,
    name: &str,
    address: Option<IpAddr>,
    patience: Duration,
) -> Result<Page> {
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
            anyhow::Ok(Page { status, text })
        };
        timeout(patience, exchange).await.with_context(|| format!("{name} does not answer"))?
    })
    .await
}

/// What comes back from a web server asked for `/` without encryption.
pub(crate) async fn http(host: &Host, address: Ipv4Addr, way: Way) -> Result<String> {
    host.run(move || async move {
        let exchange = async {
            let socket = TcpSocket::new_v4()?;
            socket.bind_device(way.device.map(str::as_bytes))?;
            let mut stream = socket.connect((address, 80).into()).await?;
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
            let mut text = String::new();
            stream.read_to_string(&mut text).await?;
            anyhow::Ok(text)
        };
        timeout(way.patience, exchange).await.with_context(|| format!("{address} does not answer"))?
    })
    .await
}

/// What came back of some echo requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pings {
    pub(crate) sent: u32,
    pub(crate) answered: u32,
    pub(crate) best: Duration,
    pub(crate) worst: Duration,
}

/// Asks a host itself for echoes, fifty a second; each may take a second.
pub(crate) async fn ping(host: &Host, address: IpAddr, count: u32) -> Result<Pings> {
    let script = format!("ping -n -i 0.02 -W 1 -c {count} {address} || true");
    let said = host.output("sh", &["-c", &script], "").await?;
    let times = said.lines().filter_map(|line| line.split_once("time=")?.1.split(' ').next()?.parse().ok());
    let times: Vec<_> = times.filter_map(|ms: f64| Duration::try_from_secs_f64(ms / 1000.0).ok()).collect();
    ensure!(said.contains("packets transmitted"), "ping did not run: {said}");
    Ok(Pings {
        sent: count,
        answered: u32::try_from(times.len())?,
        best: times.iter().min().copied().unwrap_or(Duration::MAX),
        worst: times.iter().max().copied().unwrap_or(Duration::MAX),
    })
}
