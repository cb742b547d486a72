//! The operating system's errors as reasons for not knowing.

use sentinel_model::{Outcome, Reason};
use std::io::{self, ErrorKind};

/// What an error of a socket says about the path.
pub(crate) fn of_io(error: &io::Error) -> Reason {
    match error.kind() {
        ErrorKind::NetworkUnreachable
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkDown
        | ErrorKind::AddrNotAvailable
        // A local firewall's reject, such as a kill switch, shows as a lack of permission.
        | ErrorKind::PermissionDenied => Reason::Unreachable,
        ErrorKind::ConnectionRefused => Reason::Refused("nothing listens there".into()),
        ErrorKind::TimedOut => Reason::TimedOut,
        ErrorKind::Unsupported => Reason::Unsupported,
        _ if family_is_missing(error) => Reason::Unreachable,
        _ => Reason::Failed(error.to_string()),
    }
}

/// What an error of TLS says, before or after a connection.
pub(crate) fn of_tls(error: &rustls::Error) -> Reason {
    Reason::Failed(format!("TLS: {error}"))
}

/// Whether the machine does not speak this IP version at all.
#[cfg(unix)]
fn family_is_missing(error: &io::Error) -> bool {
    use rustix::io::Errno;
    Errno::from_io_error(error) == Some(Errno::AFNOSUPPORT)
}

/// Whether the machine does not speak this IP version at all: `WSAEAFNOSUPPORT`.
#[cfg(not(unix))]
fn family_is_missing(error: &io::Error) -> bool {
    error.raw_os_error() == Some(10_047)
}

/// A result as the outcome of a check.
pub(crate) fn outcome<T>(result: Result<T, Reason>) -> Outcome<T> {
    match result {
        Ok(value) => Outcome::Measured(value),
        Err(reason) => Outcome::Unknown(reason),
    }
}
