//! Errors of the operating system and of TLS as reasons why a check is undetermined.

use sentinel_model::{Outcome, Reason};
use std::io::{self, ErrorKind};

/// Returns what a socket's error says about the path.
pub(crate) fn of_io(error: &io::Error) -> Reason {
    match error.kind() {
        ErrorKind::NetworkUnreachable
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkDown
        | ErrorKind::AddrNotAvailable
        // A local firewall's reject, such as a kill switch's, is reported as missing permission.
        | ErrorKind::PermissionDenied => Reason::Unreachable,
        ErrorKind::ConnectionRefused => Reason::Refused("nothing listens there".into()),
        ErrorKind::TimedOut => Reason::TimedOut,
        ErrorKind::Unsupported => Reason::Unsupported,
        _ if is_family_missing(error) => Reason::Unreachable,
        _ => Reason::Failed(error.to_string()),
    }
}

/// Returns the reason for an error of TLS, before or after the connection was made.
pub(crate) fn of_tls(error: &rustls::Error) -> Reason {
    Reason::Failed(format!("TLS: {error}"))
}

/// Returns true if this machine does not support the IP version at all.
#[cfg(unix)]
fn is_family_missing(error: &io::Error) -> bool {
    use rustix::io::Errno;
    Errno::from_io_error(error) == Some(Errno::AFNOSUPPORT)
}

/// Returns true if this machine does not support the IP version at all (`WSAEAFNOSUPPORT`).
#[cfg(not(unix))]
fn is_family_missing(error: &io::Error) -> bool {
    error.raw_os_error() == Some(10_047)
}

/// Converts a result into the outcome of a check.
pub(crate) fn outcome<T>(result: Result<T, Reason>) -> Outcome<T> {
    match result {
        Ok(value) => Outcome::Measured(value),
        Err(reason) => Outcome::Unknown(reason),
    }
}
