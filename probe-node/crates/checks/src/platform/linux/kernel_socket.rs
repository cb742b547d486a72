//! A netlink socket for single requests, whose replies are read as they are.
//!
//! The kernel answers while it handles the request, so nothing here waits: a reply is there when
//! the request has been sent, and the next part of a list when the one before has been read. A long
//! list is read part by part, without ever being held in memory, and other tasks run in between.

use super::attributes::{read_u16, read_u32};
use netlink_sys::{Socket, SocketAddr};
use std::{
    io::{self, ErrorKind},
    ops::ControlFlow,
};
use tokio::task::yield_now;

/// The largest part of a list that the kernel sends at once.
const PART: usize = 32 * 1024;
/// The length of a message's header, and the alignment of messages.
const HEADER: usize = 16;
const ALIGNMENT: usize = 4;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;

/// A netlink socket of the network namespace of the calling thread.
pub(super) struct KernelSocket {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl KernelSocket {
    /// Opens a socket for one of the netlink protocols (`NETLINK_ROUTE` ..).
    pub fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_non_blocking(true)?;
        Ok(Self { socket, sequence: 0, buffer: Vec::with_capacity(PART) })
    }

    /// Sends a request and returns the body of the reply.
    pub fn ask(&mut self, kind: u16, body: &[u8]) -> io::Result<Vec<u8>> {
        self.send(kind, NLM_F_REQUEST, body)?;
        loop {
            self.receive()?;
            for message in messages(&self.buffer).filter(|message| message.sequence == self.sequence) {
                match message.kind {
                    NLMSG_ERROR => check_error(message.body)?,
                    NLMSG_DONE => return Err(ErrorKind::UnexpectedEof.into()),
                    _ => return Ok(message.body.to_vec()),
                }
            }
        }
    }

    /// Requests a list and passes the body of each entry to `visit`, until that breaks.
    pub async fn list(
        &mut self,
        kind: u16,
        body: &[u8],
        mut visit: impl FnMut(&[u8]) -> ControlFlow<()> + Send,
    ) -> io::Result<()> {
        self.send(kind, NLM_F_REQUEST | NLM_F_DUMP, body)?;
        loop {
            self.receive()?;
            for message in messages(&self.buffer).filter(|message| message.sequence == self.sequence) {
                match message.kind {
                    NLMSG_ERROR => check_error(message.body)?,
                    NLMSG_DONE => return check_error(message.body),
                    _ => {
                        if visit(message.body).is_break() {
                            return Ok(());
                        }
                    }
                }
            }
            yield_now().await;
        }
    }

    fn send(&mut self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let length = u32::try_from(HEADER + body.len()).map_err(io::Error::other)?;
        let mut request = Vec::with_capacity(HEADER + body.len());
        request.extend(length.to_ne_bytes());
        request.extend(kind.to_ne_bytes());
        request.extend(flags.to_ne_bytes());
        request.extend(self.sequence.to_ne_bytes());
        request.extend([0; 4]); // the kernel
        request.extend(body);
        self.socket.send(&request, 0).map(drop)
    }

    fn receive(&mut self) -> io::Result<()> {
        self.buffer.clear();
        match self.socket.recv(&mut self.buffer, 0)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// One message: an entry of a list, or what ends it.
struct Message<'a> {
    kind: u16,
    sequence: u32,
    body: &'a [u8],
}

/// Iterates over the messages of one read, until the end or the first that is malformed.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(read_u32(bytes, 0)?).ok()?;
        let body = bytes.get(HEADER..length)?;
        let message = Message { kind: read_u16(bytes, 4)?, sequence: read_u32(bytes, 8)?, body };
        bytes = bytes.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
        Some(message)
    })
}

/// Returns the error that a message of type `NLMSG_ERROR` or `NLMSG_DONE` holds, if it holds one.
fn check_error(body: &[u8]) -> io::Result<()> {
    match read_u32(body, 0).map(u32::cast_signed) {
        Some(negative) if negative < 0 => Err(io::Error::from_raw_os_error(negative.saturating_neg())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: u32, kind: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(body);
        bytes
    }

    #[test]
    fn messages_end_with_the_first_that_is_malformed() {
        let good = message(20, 24, &[1, 2, 3, 4]);
        for length in [0, 15, 21, u32::MAX] {
            let bytes = [good.clone(), message(length, 24, &[5, 6, 7, 8])].concat();
            let bodies: Vec<&[u8]> = messages(&bytes).map(|message| message.body).collect();
            assert_eq!(bodies, [[1, 2, 3, 4]], "a length of {length}");
        }
        assert_eq!(messages(&good[..12]).count(), 0);
    }

    #[test]
    fn an_error_is_the_systems_own() {
        assert!(check_error(&0_i32.to_ne_bytes()).is_ok());
        assert!(check_error(&[]).is_ok());
        let refused = check_error(&(-1_i32).to_ne_bytes()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
        assert!(check_error(&i32::MIN.to_ne_bytes()).is_err());
    }
}
