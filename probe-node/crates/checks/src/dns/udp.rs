//! One question over plain UDP on a socket of its own, which also notices a second answer.
//!
//! An interceptor that answers in another server's place is quicker, and the other server's answer
//! still arrives after it.

use crate::{dns::lookup_error::LookupError, platform::Platform, reason};
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

/// The longest answer that is read.
const MAX_MESSAGE: usize = 4096;
/// Ends an attempt early, so that a flood does not keep the processor busy until the deadline.
const MAX_DATAGRAMS: usize = 32;
/// The most records taken from one answer.
const MAX_RECORDS: usize = 64;

/// A server's answer to a question for TXT records.
type TxtAnswer = Result<Vec<RData>, LookupError>;

/// The result of one question.
#[derive(Debug)]
pub(crate) struct UdpExchange {
    /// The first answer that matches the question.
    pub(crate) answer: TxtAnswer,
    /// Whether a different answer came after it.
    pub(crate) second_answer: bool,
}

/// An interface that a question must leave by, whatever the routes say.
#[derive(Clone, Copy)]
pub(crate) struct InterfaceBinding<'a> {
    pub(crate) platform: &'a dyn Platform,
    pub(crate) interface: &'a str,
}

/// Asks a server for the TXT records of a name.
///
/// After the first answer, the socket stays open for `listen` to notice a second one. The question
/// is asked twice if need be, because a packet may get lost:
///
/// - The second attempt uses another socket, so that its answer does not count as a second answer
///   to the first.
/// - It gets most of the budget, because a resolver may have to ask a distant server.
///
/// Takes at most `budget + listen`.
pub(crate) async fn ask(
    server: SocketAddr,
    binding: Option<InterfaceBinding<'_>>,
    name: &Name,
    budget: Duration,
    listen: Duration,
) -> Result<UdpExchange, Reason> {
    let mut last = Reason::TimedOut;
    let first = budget / 4;
    for patience in [first, budget.saturating_sub(first)] {
        match attempt(server, binding, name, patience, listen).await {
            // A proper answer may have been lost behind a malformed one.
            Err(reason @ (Reason::TimedOut | Reason::Malformed(_))) => last = reason,
            ended => return ended,
        }
    }
    Err(last)
}

async fn attempt(
    server: SocketAddr,
    binding: Option<InterfaceBinding<'_>>,
    name: &Name,
    patience: Duration,
    listen: Duration,
) -> Result<UdpExchange, Reason> {
    let question = Question::new(name)?;
    let socket = connect(server, binding).map_err(|error| reason::of_io(&error))?;
    socket.send(&question.encode()?).await.map_err(|error| reason::of_io(&error))?;
    let mut buffer = vec![0; MAX_MESSAGE + 1];

    let deadline = Instant::now() + patience;
    let mut failure = Reason::TimedOut;
    let mut datagrams = 0..MAX_DATAGRAMS;
    let answer = loop {
        if datagrams.next().is_none() {
            return Err(failure);
        }
        let Ok(received) = timeout_at(deadline, socket.recv(&mut buffer)).await else { return Err(failure) };
        let length = received.map_err(|error| reason::of_io(&error))?;
        match question.classify(&buffer[..length]) {
            Datagram::Answer(answer) => break answer,
            Datagram::Unrelated => {}
            Datagram::Malformed(cause) => failure = Reason::Malformed(cause),
        }
    };

    let deadline = Instant::now() + listen;
    let mut second_answer = false;
    while !second_answer
        && datagrams.next().is_some()
        && let Ok(Ok(length)) = timeout_at(deadline, socket.recv(&mut buffer)).await
    {
        second_answer = match question.classify(&buffer[..length]) {
            Datagram::Answer(other) => !is_same_answer(&answer, &other),
            Datagram::Unrelated | Datagram::Malformed(_) => false,
        };
    }
    Ok(UdpExchange { answer, second_answer })
}

/// Opens a socket that receives from this server only, at a random port chosen by the kernel.
fn connect(server: SocketAddr, binding: Option<InterfaceBinding<'_>>) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(server), Type::DGRAM, Some(Protocol::UDP))?;
    if let Some(binding) = binding {
        binding.platform.bind_to_interface(&socket, binding.interface)?;
    }
    socket.set_nonblocking(true)?;
    socket.connect(&server.into())?;
    UdpSocket::from_std(socket.into())
}

/// A question as it is sent.
struct Question {
    id: u16,
    query: Query,
}

/// A received datagram in relation to a [`Question`].
enum Datagram {
    /// An answer to it.
    Answer(TxtAnswer),
    /// An answer to another question, or no answer at all.
    Unrelated,
    /// An answer to it that cannot be decoded, and why.
    Malformed(String),
}

impl Question {
    fn new(name: &Name) -> Result<Self, Reason> {
        let mut id = [0; 2];
        getrandom::fill(&mut id).map_err(|error| Reason::Failed(format!("no random numbers: {error}")))?;
        Ok(Self { id: u16::from_be_bytes(id), query: Query::query(name.clone(), RecordType::TXT) })
    }

    fn encode(&self) -> Result<Vec<u8>, Reason> {
        let mut message = Message::new(self.id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(self.query.clone());
        message.to_vec().map_err(|error| Reason::Failed(format!("could not encode the question: {error}")))
    }

    fn classify(&self, bytes: &[u8]) -> Datagram {
        if bytes.get(..2) != Some(&self.id.to_be_bytes()[..]) {
            return Datagram::Unrelated;
        }
        if bytes.len() > MAX_MESSAGE {
            return Datagram::Malformed(format!("it has more than {MAX_MESSAGE} bytes"));
        }
        let message = match Message::from_vec(bytes) {
            Ok(message) => message,
            Err(error) => return Datagram::Malformed(error.to_string()),
        };
        if message.metadata.message_type != MessageType::Response || message.queries != [self.query.clone()] {
            return Datagram::Unrelated;
        }
        if message.metadata.truncation {
            return Datagram::Malformed("it is truncated".into());
        }
        Datagram::Answer(match message.metadata.response_code {
            ResponseCode::NoError => Ok(txt_records(message)),
            ResponseCode::NXDomain => Err(LookupError::Nonexistent),
            code => Err(LookupError::Undetermined(Reason::Refused(format!("the resolver answered {code}")))),
        })
    }
}

fn txt_records(message: Message) -> Vec<RData> {
    let records = message.answers.into_iter().map(|record| record.data);
    records.filter(|data| matches!(data, RData::TXT(_))).take(MAX_RECORDS).collect()
}

/// Returns true if both answers say the same; the order of records does not matter.
fn is_same_answer(first: &TxtAnswer, second: &TxtAnswer) -> bool {
    match (first, second) {
        (Ok(first), Ok(second)) => {
            first.len() == second.len() && first.iter().all(|record| second.contains(record))
        }
        _ => first == second,
    }
}

/// Decodes a datagram as an answer to a question with the same id; returns true if it is one.
#[cfg(fuzzing)]
pub(crate) fn fuzz(bytes: &[u8]) -> bool {
    let id = bytes.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
    let question = Question { id, query: Query::query(Name::root(), RecordType::TXT) };
    matches!(question.classify(bytes), Datagram::Answer(_))
}
