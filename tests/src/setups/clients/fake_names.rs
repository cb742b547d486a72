//! The resolver of a fake-ip proxy, which gives every name an address of a reserved range.

use crate::{
    host::{Host, Transport},
    plan,
    probe::{DnsQuestion, ProbeOptions, query_resolver},
};
use anyhow::{Context, Result};
use hickory_proto::{
    op::{Message, MessageType, ResponseCode},
    rr::{RData, Record, RecordType, rdata::A},
};
use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};
use tokio::{net::UdpSocket, task::JoinHandle};

/// A running resolver. It ends when dropped.
pub(super) struct FakeNames {
    task: JoinHandle<Result<()>>,
}

impl FakeNames {
    /// The address at which the laptop asks it.
    pub(super) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 2);

    /// Starts the resolver on the VPN's server, which maps the addresses back by its firewall.
    pub(super) async fn start(server: &Host) -> Result<Self> {
        server.run_ip(&format!("address add {}/32 dev lo\n", Self::ADDRESS)).await?;
        let rules = "table ip fake {
            map real { type ipv4_addr : ipv4_addr; }
            chain prerouting {
                type nat hook prerouting priority dstnat
                ip daddr 10.200.0.0/16 dnat to ip daddr map @real
            }
        }";
        server.output("nft", &["-f", "-"], rules).await?;
        let host = server.clone();
        let serving = host.clone();
        let task = tokio::spawn(async move { serving.run(move || serve(host)).await });
        server.wait_for_port(Transport::Udp, 53, Duration::from_secs(5)).await?;
        Ok(Self { task })
    }
}

impl Drop for FakeNames {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers questions until the task ends.
async fn serve(server: Host) -> Result<()> {
    let socket = UdpSocket::bind((FakeNames::ADDRESS, 53)).await?;
    let mut given = BTreeMap::new();
    let mut buffer = [0; 2048];
    loop {
        let (length, peer) = socket.recv_from(&mut buffer).await?;
        // What is no question gets no answer.
        let Ok(question) = Message::from_vec(&buffer[..length]) else { continue };
        if let Ok(answer) = answer(&server, &question, &mut given).await {
            socket.send_to(&answer.to_vec()?, peer).await?;
        }
    }
}

/// Answers one question: a name with a real address gets a fake one, the same each time.
async fn answer(
    server: &Host,
    question: &Message,
    given: &mut BTreeMap<String, Ipv4Addr>,
) -> Result<Message> {
    let query = question.queries.first().context("no question")?;
    let mut answer = Message::new(question.metadata.id, MessageType::Response, question.metadata.op_code);
    answer.metadata.recursion_desired = true;
    answer.metadata.recursion_available = true;
    answer.add_query(query.clone());
    let name = query.name().to_ascii();
    let real = DnsQuestion::address(plan::VPN_RESOLVER.into(), &name, query.query_type());
    let real = query_resolver(server, real, ProbeOptions::default()).await?;
    match query.query_type() {
        RecordType::A => {
            let Some(real) = real.iter().find_map(|record| record.parse::<Ipv4Addr>().ok()) else {
                answer.metadata.response_code = ResponseCode::NXDomain;
                return Ok(answer);
            };
            let fake = give(server, given, &name, real).await?;
            answer.add_answer(Record::from_rdata(query.name().clone(), 1, RData::A(A(fake))));
        }
        // Proxies without IPv6 answer that there is none.
        RecordType::AAAA => {}
        RecordType::TXT => {
            for text in real.iter().filter(|text| text.as_str() != "NoError") {
                let text = hickory_proto::rr::rdata::TXT::new(vec![text.clone()]);
                answer.add_answer(Record::from_rdata(query.name().clone(), 1, RData::TXT(text)));
            }
        }
        _ => answer.metadata.response_code = ResponseCode::NotImp,
    }
    Ok(answer)
}

/// Returns the fake address of a name, and lets the firewall map it to the real one.
async fn give(
    server: &Host,
    given: &mut BTreeMap<String, Ipv4Addr>,
    name: &str,
    real: Ipv4Addr,
) -> Result<Ipv4Addr> {
    if let Some(fake) = given.get(name) {
        return Ok(*fake);
    }
    let number = u16::try_from(given.len())?.checked_add(256).context("no address is left")?;
    let [high, low] = number.to_be_bytes();
    let fake = Ipv4Addr::new(10, 200, high, low);
    let element = format!("add element ip fake real {{ {fake} : {real} }}");
    server.output("nft", &["-f", "-"], &element).await?;
    given.insert(name.to_owned(), fake);
    Ok(fake)
}
