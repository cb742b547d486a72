//! A program that a user might run: it keeps a connection to a STUN server busy.
//!
//! `lab-program tcp|udp SERVER [DEVICE]` sends a request every half second and prints `answered`
//! for each answer. Bound to a device, it bypasses the tunnel, and connects again whenever its
//! connection ends. Without one, it keeps the connection that it has.

#[cfg(target_os = "linux")]
fn main() -> std::io::Result<()> {
    linux::run()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("lab-program: the lab needs Linux network namespaces, which this system does not have");
}

#[cfg(target_os = "linux")]
mod linux {
    use nix::sys::socket::{
        AddressFamily, SockFlag, SockType, SockaddrStorage, connect, recv, send, setsockopt, socket,
        sockopt::{BindToDevice, ReceiveTimeout},
    };
    use std::{
        ffi::OsString,
        io::{Error, ErrorKind, Result, Write as _},
        net::SocketAddr,
        os::fd::{AsRawFd, OwnedFd},
        thread::sleep,
        time::Duration,
    };

    const PAUSE: Duration = Duration::from_millis(500);

    pub(super) fn run() -> Result<()> {
        let usage = || Error::new(ErrorKind::InvalidInput, "usage: lab-program tcp|udp SERVER [DEVICE]");
        let mut arguments = std::env::args().skip(1);
        let kind = match arguments.next().as_deref() {
            Some("tcp") => SockType::Stream,
            Some("udp") => SockType::Datagram,
            _ => return Err(usage()),
        };
        let server: SocketAddr = arguments.next().and_then(|text| text.parse().ok()).ok_or_else(usage)?;
        let device = arguments.next();
        loop {
            let ended = open(kind, server, device.as_deref()).and_then(|connection| talk(&connection));
            let error = ended.err().unwrap_or_else(|| ErrorKind::ConnectionAborted.into());
            eprintln!("{error}");
            if device.is_none() {
                return Err(error);
            }
            sleep(PAUSE);
        }
    }

    fn open(kind: SockType, server: SocketAddr, device: Option<&str>) -> Result<OwnedFd> {
        let family = if server.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let connection = socket(family, kind, SockFlag::SOCK_CLOEXEC, None)?;
        if let Some(device) = device {
            setsockopt(&connection, BindToDevice, &OsString::from(device))?;
        }
        setsockopt(&connection, ReceiveTimeout, &nix::sys::time::TimeVal::new(0, 500_000))?;
        connect(connection.as_raw_fd(), &SockaddrStorage::from(server))?;
        Ok(connection)
    }

    /// Sends binding requests (RFC 8489) until the connection ends.
    fn talk(connection: &OwnedFd) -> Result<()> {
        let mut request = [0_u8; 20];
        request[1] = 1;
        request[4..8].copy_from_slice(&0x2112_A442_u32.to_be_bytes());
        request[8..].copy_from_slice(b"lab program!");
        let mut answer = [0; 1500];
        loop {
            let flags = nix::sys::socket::MsgFlags::MSG_NOSIGNAL;
            send(connection.as_raw_fd(), &request, flags)?;
            match recv(connection.as_raw_fd(), &mut answer, nix::sys::socket::MsgFlags::empty()) {
                Ok(0) => return Ok(()),
                Ok(_) => writeln!(std::io::stdout(), "answered")?,
                // Nothing has come yet.
                Err(nix::errno::Errno::EAGAIN) => {}
                Err(error) => return Err(error.into()),
            }
            sleep(PAUSE);
        }
    }
}
