//! What the answers of Windows' ICMP service mean: the reply's bytes as `ipexport.h` lays them out, and the status codes
//! of `IcmpSendEcho2` (IP_STATUS).

use sentinel_model::Reason;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const SUCCESS: u32 = 0;
const NET_UNREACHABLE: u32 = 11_002;
const PORT_UNREACHABLE: u32 = 11_005;
const REQUEST_TIMED_OUT: u32 = 11_010;
const HOPS_EXCEEDED: u32 = 11_013;
const TIME_EXCEEDED: u32 = 11_041;
/// Windows' general failure: what a local firewall's block shows as.
const GENERAL_FAILURE: u32 = 11_050;
/// `ERROR_NETWORK_UNREACHABLE` and `ERROR_HOST_UNREACHABLE`: no route.
const NO_ROUTE: [u32; 2] = [1_231, 1_232];

/// The address and status at the start of a reply: `ICMP_ECHO_REPLY`, or `ICMPV6_ECHO_REPLY`, whose address structure
/// is packed (port, flow, address, scope) and padded before the status. The bytes are as the system left them, the
/// status in this machine's order.
pub(super) fn reply(bytes: &[u8], v6: bool) -> Option<(IpAddr, u32)> {
    let status = |at: usize| Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
    if v6 {
        let octets: [u8; 16] = *bytes.get(6..)?.first_chunk()?;
        Some((Ipv6Addr::from(octets).into(), status(28)?))
    } else {
        let octets: [u8; 4] = *bytes.first_chunk()?;
        Some((Ipv4Addr::from(octets).into(), status(4)?))
    }
}

/// Who answered, if anybody did. `own` are this machine's addresses: an answer from one of them is its own refusal.
pub(super) fn answer(by: IpAddr, status: u32, own: &[IpAddr]) -> Result<IpAddr, Reason> {
    match status {
        SUCCESS | HOPS_EXCEEDED | TIME_EXCEEDED => Ok(by),
        NET_UNREACHABLE..=PORT_UNREACHABLE if !by.is_unspecified() && !own.contains(&by) => Ok(by),
        status => Err(refusal(status)),
    }
}

/// Why there is no answer: a status, or the system's error code where there is no reply at all.
pub(super) fn refusal(status: u32) -> Reason {
    match status {
        REQUEST_TIMED_OUT => Reason::TimedOut,
        NET_UNREACHABLE..=PORT_UNREACHABLE | GENERAL_FAILURE => Reason::Unreachable,
        status if NO_ROUTE.contains(&status) => Reason::Unreachable,
        status => Reason::Failed(format!("the ICMP service answered {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn replies_of_both_families_are_read_and_short_ones_are_not() {
        let mut v4 = vec![192, 0, 2, 1];
        v4.extend(HOPS_EXCEEDED.to_ne_bytes());
        assert_eq!(reply(&v4, false), Some((ROUTER, HOPS_EXCEEDED)));
        assert_eq!(reply(&v4[..7], false), None);

        let router: Ipv6Addr = "2001:db8::1".parse().unwrap();
        let mut v6 = vec![0; 6];
        v6.extend(router.octets());
        v6.extend([0; 6]); // scope and padding
        v6.extend(SUCCESS.to_ne_bytes());
        assert_eq!(reply(&v6, true), Some((router.into(), SUCCESS)));
        assert_eq!(reply(&v6[..31], true), None);
    }

    #[test]
    fn a_routers_word_is_an_answer_and_this_machines_own_refusal_is_none() {
        assert_eq!(answer(ROUTER, HOPS_EXCEEDED, &[]), Ok(ROUTER));
        assert_eq!(answer(ROUTER, NET_UNREACHABLE, &[]), Ok(ROUTER));
        assert_eq!(answer(ROUTER, NET_UNREACHABLE, &[ROUTER]), Err(Reason::Unreachable));
        let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        assert_eq!(answer(nobody, NET_UNREACHABLE, &[]), Err(Reason::Unreachable));
        assert_eq!(answer(nobody, REQUEST_TIMED_OUT, &[]), Err(Reason::TimedOut));
        assert_eq!(refusal(1_231), Reason::Unreachable);
        assert_eq!(refusal(GENERAL_FAILURE), Reason::Unreachable);
        assert!(matches!(refusal(87), Reason::Failed(_)));
    }
}
