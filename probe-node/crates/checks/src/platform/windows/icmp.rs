//! Parses the replies of the ICMP service.
//!
//! The layout of a reply is that of `ipexport.h`, and its status codes are those of `IcmpSendEcho2`
//! (`IP_STATUS`).

use sentinel_model::Reason;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const SUCCESS: u32 = 0;
const NET_UNREACHABLE: u32 = 11_002;
const PORT_UNREACHABLE: u32 = 11_005;
const REQUEST_TIMED_OUT: u32 = 11_010;
const HOPS_EXCEEDED: u32 = 11_013;
const TIME_EXCEEDED: u32 = 11_041;
/// A general failure, which is also how a local firewall's block appears.
const GENERAL_FAILURE: u32 = 11_050;
/// `ERROR_NETWORK_UNREACHABLE` and `ERROR_HOST_UNREACHABLE`: no route.
const NO_ROUTE: [u32; 2] = [1_231, 1_232];

/// Parses the sender's address and the status (in host byte order) at the start of a reply.
///
/// The reply is an `ICMP_ECHO_REPLY` or an `ICMPV6_ECHO_REPLY`. The address structure of the latter
/// is packed (port, flow, address, scope) and followed by padding before the status.
pub(super) fn parse_reply(bytes: &[u8], v6: bool) -> Option<(IpAddr, u32)> {
    let status = |at: usize| Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
    if v6 {
        let octets: [u8; 16] = *bytes.get(6..)?.first_chunk()?;
        Some((Ipv6Addr::from(octets).into(), status(28)?))
    } else {
        let octets: [u8; 4] = *bytes.first_chunk()?;
        Some((Ipv4Addr::from(octets).into(), status(4)?))
    }
}

/// Returns the sender if its reply counts, or why there is no reply.
///
/// `own` holds this machine's addresses: an error from one of them means that it did not send the
/// request.
pub(super) fn find_responder(sender: IpAddr, status: u32, own: &[IpAddr]) -> Result<IpAddr, Reason> {
    match status {
        SUCCESS | HOPS_EXCEEDED | TIME_EXCEEDED => Ok(sender),
        NET_UNREACHABLE..=PORT_UNREACHABLE if !sender.is_unspecified() && !own.contains(&sender) => {
            Ok(sender)
        }
        status => Err(describe_status(status)),
    }
}

/// Converts the status of a reply, or the system's error code if there is no reply at all.
pub(super) fn describe_status(status: u32) -> Reason {
    match status {
        REQUEST_TIMED_OUT => Reason::TimedOut,
        NET_UNREACHABLE..=PORT_UNREACHABLE | GENERAL_FAILURE => Reason::Unreachable,
        status if NO_ROUTE.contains(&status) => Reason::Unreachable,
        status => Reason::Failed(format!("the ICMP service returned the status {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn replies_of_both_families_are_parsed_and_truncated_ones_are_not() {
        let mut v4 = vec![192, 0, 2, 1];
        v4.extend(HOPS_EXCEEDED.to_ne_bytes());
        assert_eq!(parse_reply(&v4, false), Some((ROUTER, HOPS_EXCEEDED)));
        assert_eq!(parse_reply(&v4[..7], false), None);

        let router: Ipv6Addr = "2001:db8::1".parse().unwrap();
        let mut v6 = vec![0; 6];
        v6.extend(router.octets());
        v6.extend([0; 6]); // scope and padding
        v6.extend(SUCCESS.to_ne_bytes());
        assert_eq!(parse_reply(&v6, true), Some((router.into(), SUCCESS)));
        assert_eq!(parse_reply(&v6[..31], true), None);
    }

    #[test]
    fn a_routers_error_counts_as_a_reply_and_this_machines_own_does_not() {
        assert_eq!(find_responder(ROUTER, HOPS_EXCEEDED, &[]), Ok(ROUTER));
        assert_eq!(find_responder(ROUTER, NET_UNREACHABLE, &[]), Ok(ROUTER));
        assert_eq!(find_responder(ROUTER, NET_UNREACHABLE, &[ROUTER]), Err(Reason::Unreachable));
        let unspecified = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        assert_eq!(find_responder(unspecified, NET_UNREACHABLE, &[]), Err(Reason::Unreachable));
        assert_eq!(find_responder(unspecified, REQUEST_TIMED_OUT, &[]), Err(Reason::TimedOut));
        assert_eq!(describe_status(1_231), Reason::Unreachable);
        assert_eq!(describe_status(GENERAL_FAILURE), Reason::Unreachable);
        assert!(matches!(describe_status(87), Reason::Failed(_)));
    }
}
