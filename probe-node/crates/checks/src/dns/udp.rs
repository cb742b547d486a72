//! One question over plain UDP, on a socket of its own, with a look at what comes after the first answer: who answers
//! in another's place is quicker, and the other's answer still arrives.

use crate::{names::NoRecord, platform::Platform, reason};
use hickory_resolver::proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, RData, RecordType},
};
use sentinel_model::Reason;
use socket2::{Domain, Protocol, Socket, Type};
use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    net::UdpSocket,
    time::{Instant, timeout_at},
};

/// Longer than any answer of interest; a longer one is not read.
const MAX_MESSAGE: usize = 4096;
/// So many datagrams end an attempt, lest a flood keep the processor busy beyond the deadline.
const MAX_DATAGRAMS: usize = 32;
/// More records than an answer of interest has.
const MAX_RECORDS: usize = 64;

/// What a server answered to a question for TXT records.
type Told = Result<Vec<RData>, NoRecord>;

/// What came of one question.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// The first answer that fits the question.
    pub(crate) told: Told,
    /// Whether another one, which says something else, came after it.
    pub(crate) second_answer: bool,
}

/// An interface a question must leave by, whatever the routes say.
#[derive(Clone, Copy)]
pub(crate) struct Bound<'a> {
    pub(crate) platform: &'a dyn Platform,
    pub(crate) interface: &'a str,
}

/// Asks a server for the TXT records at a name and goes on listening for `listen` after the first answer. A packet may
/// get lost, so it is asked twice; the second time on another socket, so that its answer is not taken for a second answer
/// to the first, and with most of the time, since a resolver may have to ask far away. Takes at most `budget` and `listen`.
pub(crate) async fn ask(
    server: SocketAddr,
    by: Option<Bound<'_>>,
    name: &Name,
    budget: Duration,
    listen: Duration,
) -> Result<Exchange, Reason> {
    let mut last = Reason::TimedOut;
    let first = budget / 4;
    for patience in [first, budget.saturating_sub(first)] {
        match attempt(server, by, name, patience, listen).await {
            // Garbage may have hidden a proper answer that got lost.
            Err(reason @ (Reason::TimedOut | Reason::Malformed(_))) => last = reason,
            ended => return ended,
        }
    }
    Err(last)
}

async fn attempt(
    server: SocketAddr,
    by: Option<Bound<'_>>,
    name: &Name,
    patience: Duration,
    listen: Duration,
) -> Result<Exchange, Reason> {
    let asked = Asked::new(name)?;
    let socket = socket(server, by).map_err(|error| reason::of_io(&error))?;
    socket.send(&asked.bytes()?).await.map_err(|error| reason::of_io(&error))?;
    let mut buffer = vec![0; MAX_MESSAGE + 1];

    let deadline = Instant::now() + patience;
    let mut nothing = Reason::TimedOut;
    let mut datagrams = 0..MAX_DATAGRAMS;
    let told = loop {
        if datagrams.next().is_none() {
            return Err(nothing);
        }
        let Ok(received) = timeout_at(deadline, socket.recv(&mut buffer)).await else { return Err(nothing) };
        let length = received.map_err(|error| reason::of_io(&error))?;
        match asked.read(&buffer[..length]) {
            Read::Answer(told) => break told,
            Read::Unrelated => {}
            Read::Malformed(cause) => nothing = Reason::Malformed(cause),
        }
    };

    let deadline = Instant::now() + listen;
    let mut second_answer = false;
    while !second_answer
        && datagrams.next().is_some()
        && let Ok(Ok(length)) = timeout_at(deadline, socket.recv(&mut buffer)).await
    {
        second_answer = match asked.read(&buffer[..length]) {
            Read::Answer(again) => !same(&told, &again),
            Read::Unrelated | Read::Malformed(_) => false,
        };
    }
    Ok(Exchange { told, second_answer })
}

/// A socket that hears only this server, at a random port of the kernel's choice.
fn socket(server: SocketAddr, by: Option<Bound<'_>>) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(server), Type::DGRAM, Some(Protocol::UDP))?;
    if let Some(by) = by {
        by.platform.bind(&socket, by.interface)?;
    }
    socket.set_nonblocking(true)?;
    socket.connect(&server.into())?;
    UdpSocket::from_std(socket.into())
}

/// A question as it was sent.
struct Asked {
    id: u16,
    query: Query,
}

/// What a datagram is to a question.
enum Read {
    /// An answer to it.
    Answer(Told),
    /// An answer to something else, or none at all.
    Unrelated,
    /// An answer to it that cannot be read, and why.
    Malformed(String),
}

impl Asked {
    fn new(name: &Name) -> Result<Self, Reason> {
        let mut id = [0; 2];
        getrandom::fill(&mut id).map_err(|error| Reason::Failed(format!("no random numbers: {error}")))?;
        Ok(Self { id: u16::from_be_bytes(id), query: Query::query(name.clone(), RecordType::TXT) })
    }

    fn bytes(&self) -> Result<Vec<u8>, Reason> {
        let mut message = Message::new(self.id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(self.query.clone());
        message.to_vec().map_err(|error| Reason::Failed(format!("could not write the question: {error}")))
    }

    fn read(&self, bytes: &[u8]) -> Read {
        if bytes.get(..2) != Some(&self.id.to_be_bytes()[..]) {
            return Read::Unrelated;
        }
        if bytes.len() > MAX_MESSAGE {
            return Read::Malformed(format!("an answer of more than {MAX_MESSAGE} bytes"));
        }
        let message = match Message::from_vec(bytes) {
            Ok(message) => message,
            Err(error) => return Read::Malformed(error.to_string()),
        };
        if message.metadata.message_type != MessageType::Response || message.queries != [self.query.clone()] {
            return Read::Unrelated;
        }
        if message.metadata.truncation {
            return Read::Malformed("an answer that was cut short".into());
        }
        Read::Answer(match message.metadata.response_code {
            ResponseCode::NoError => Ok(texts(message)),
            ResponseCode::NXDomain => Err(NoRecord::Nonexistent),
            code => Err(NoRecord::Because(Reason::Refused(format!("the resolver answered {code}")))),
        })
    }
}

fn texts(message: Message) -> Vec<RData> {
    let records = message.answers.into_iter().map(|record| record.data);
    records.filter(|data| matches!(data, RData::TXT(_))).take(MAX_RECORDS).collect()
}

/// Whether two answers say the same; the order of records means nothing.
fn same(first: &Told, second: &Told) -> bool {
    match (first, second) {
        (Ok(first), Ok(second)) => {
            first.len() == second.len() && first.iter().all(|record| second.contains(record))
        }
        _ => first == second,
    }
}

/// Reads a datagram as an answer to a question whose id it carries; whether it was one.
#[cfg(fuzzing)]
pub(crate) fn fuzz(bytes: &[u8]) -> bool {
    let id = bytes.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
    let asked = Asked { id, query: Query::query(Name::root(), RecordType::TXT) };
    matches!(asked.read(bytes), Read::Answer(_))
}
