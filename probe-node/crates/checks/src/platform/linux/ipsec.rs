//! The kernel's IPsec policies and associations (linux/xfrm.h). Reading them needs `CAP_NET_ADMIN`.

use super::{
    attributes::{attributes, read_address, read_u16, read_u32},
    kernel_socket::KernelSocket,
};
use crate::reason;
use ipnet::IpNet;
use netlink_sys::protocols::NETLINK_XFRM;
use sentinel_model::{IpsecAction, IpsecPolicy, Reason};
use std::{
    collections::BTreeSet,
    io::{self, ErrorKind},
    net::IpAddr,
    ops::ControlFlow,
};

const XFRM_MSG_GETSA: u16 = 18;
const XFRM_MSG_GETPOLICY: u16 = 21;

/// More policies or associations than a machine with a VPN has; a gateway may have more.
const MAX_ENTRIES: usize = 256;
/// How many are read to find them.
const MAX_READ: usize = 16_384;

const XFRMA_TMPL: u16 = 5;
const XFRMA_MARK: u16 = 21;
const XFRMA_IF_ID: u16 = 31;

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const DIRECTION_OUT: u8 = 1;
const ACTION_ALLOW: u8 = 0;
/// The modes that send packets to a far end of their own: tunnel, BEET and IP-TFS.
const TUNNEL_MODES: [u8; 3] = [1, 4, 5];

/// The length of `struct xfrm_userpolicy_info`, and offsets in it.
const POLICY: usize = 168;
const POLICY_DIRECTION: usize = 160;
const POLICY_ACTION: usize = 161;
/// The length of `struct xfrm_user_tmpl`, and offsets in it.
const TEMPLATE: usize = 64;
const TEMPLATE_FAMILY: usize = 24;
const TEMPLATE_MODE: usize = 48;
/// Offsets in `struct xfrm_usersa_info`: the destination, the family, the mode.
const SA_DESTINATION: usize = 56;
const SA_FAMILY: usize = 212;
const SA_MODE: usize = 214;

/// Lists the policies for packets that leave this machine by no interface of IPsec's own.
pub(super) async fn list_policies() -> Result<Vec<IpsecPolicy>, Reason> {
    let listed = list(XFRM_MSG_GETPOLICY, &[0; 64], |message| parse_policy(message, false)).await;
    listed.map(|policies| policies.into_iter().collect()).map_err(|error| describe_error(&error))
}

/// Lists the gateways that policies or associations send packets to.
pub(super) async fn list_far_ends() -> io::Result<BTreeSet<IpAddr>> {
    let of_policy = |message: &[u8]| parse_policy(message, true)?.far_end();
    let mut far_ends = list(XFRM_MSG_GETPOLICY, &[0; 64], of_policy).await?;
    far_ends.extend(list(XFRM_MSG_GETSA, &[0; 24], parse_association).await?);
    Ok(far_ends)
}

async fn list<T: Ord + Send>(
    kind: u16,
    body: &[u8],
    parse: impl Fn(&[u8]) -> Option<T> + Send + Sync,
) -> io::Result<BTreeSet<T>> {
    let mut socket = KernelSocket::open(NETLINK_XFRM)?;
    let (mut found, mut left) = (BTreeSet::new(), MAX_READ);
    let visit = |message: &[u8]| {
        found.extend(parse(message));
        left -= 1;
        if left == 0 || found.len() >= MAX_ENTRIES {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    socket.list(kind, body, visit).await?;
    Ok(found)
}

fn describe_error(error: &io::Error) -> Reason {
    match error.kind() {
        ErrorKind::PermissionDenied => {
            Reason::Refused("reading IPsec policies needs the capability CAP_NET_ADMIN".into())
        }
        ErrorKind::Unsupported => Reason::Unsupported,
        _ if error.raw_os_error() == Some(nix::libc::EPROTONOSUPPORT) => Reason::Unsupported,
        _ => reason::of_io(error),
    }
}

/// Parses a policy; `None` unless it applies to ordinary packets that leave this machine.
///
/// With `any_interface`, policies of IPsec's own interfaces are included.
pub(super) fn parse_policy(message: &[u8], any_interface: bool) -> Option<IpsecPolicy> {
    if *message.get(POLICY_DIRECTION)? != DIRECTION_OUT {
        return None;
    }
    let network = |address: usize, prefix: usize| {
        let address = address_of_family(message.get(address..)?, read_u16(message, 40)?)?;
        IpNet::new(address, *message.get(prefix)?).ok().map(|network| network.trunc())
    };
    let (destination, source) = (network(0, 42)?, network(16, 43)?);
    let mut templates: &[u8] = &[];
    for (kind, value) in attributes(message.get(POLICY..)?) {
        match kind {
            XFRMA_TMPL => templates = value,
            // Policies for marked packets, as VTI interfaces use them, and of XFRM interfaces.
            XFRMA_MARK | XFRMA_IF_ID if !any_interface && read_u32(value, 0)? != 0 => return None,
            _ => {}
        }
    }
    let action = if *message.get(POLICY_ACTION)? == ACTION_ALLOW {
        action_of_templates(templates)
    } else {
        IpsecAction::Block
    };
    Some(IpsecPolicy { source, destination, action })
}

/// Returns what the templates of a policy do with packets: the first one in tunnel mode decides.
fn action_of_templates(templates: &[u8]) -> IpsecAction {
    let mut templates = templates.chunks_exact(TEMPLATE).peekable();
    if templates.peek().is_none() {
        return IpsecAction::Bypass;
    }
    let is_tunnel = |template: &&[u8]| TUNNEL_MODES.contains(&template[TEMPLATE_MODE]);
    match templates.find(is_tunnel) {
        Some(template) => IpsecAction::Tunnel {
            far_end: read_u16(template, TEMPLATE_FAMILY)
                .and_then(|family| address_of_family(template, family))
                .filter(|far_end| !far_end.is_unspecified()),
        },
        None => IpsecAction::Transport,
    }
}

/// Returns the gateway that an association in tunnel mode sends packets to.
///
/// For associations of packets received, that is this machine.
pub(super) fn parse_association(message: &[u8]) -> Option<IpAddr> {
    if !TUNNEL_MODES.contains(message.get(SA_MODE)?) {
        return None;
    }
    let destination = address_of_family(message.get(SA_DESTINATION..)?, read_u16(message, SA_FAMILY)?)?;
    (!destination.is_unspecified()).then_some(destination)
}

/// Returns the address at the start of these bytes.
fn address_of_family(bytes: &[u8], family: u16) -> Option<IpAddr> {
    match family {
        AF_INET => read_address(bytes.get(..4)?),
        AF_INET6 => read_address(bytes.get(..16)?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::attributes::push_attribute, *};

    fn policy(direction: u8, action: u8) -> Vec<u8> {
        let mut policy = vec![0; POLICY];
        policy[..4].copy_from_slice(&[203, 0, 113, 0]);
        policy[40..42].copy_from_slice(&AF_INET.to_ne_bytes());
        policy[42] = 24;
        policy[POLICY_DIRECTION] = direction;
        policy[POLICY_ACTION] = action;
        policy
    }

    fn template(mode: u8, far_end: [u8; 4]) -> Vec<u8> {
        let mut template = vec![0; TEMPLATE];
        template[..4].copy_from_slice(&far_end);
        template[TEMPLATE_FAMILY..TEMPLATE_FAMILY + 2].copy_from_slice(&AF_INET.to_ne_bytes());
        template[TEMPLATE_MODE] = mode;
        template
    }

    fn with(mut policy: Vec<u8>, kind: u16, value: &[u8]) -> Vec<u8> {
        push_attribute(&mut policy, kind, value);
        policy
    }

    #[test]
    fn a_policy_in_tunnel_mode_names_its_far_end() {
        let far_end = Some("192.0.2.9".parse().unwrap());
        let parsed = parse_policy(&with(policy(1, 0), XFRMA_TMPL, &template(1, [192, 0, 2, 9])), false);
        let parsed = parsed.unwrap();
        assert_eq!(parsed.destination, "203.0.113.0/24".parse().unwrap());
        assert_eq!(parsed.action, IpsecAction::Tunnel { far_end });
        let acquired = with(policy(1, 0), XFRMA_TMPL, &template(1, [0; 4]));
        assert_eq!(parse_policy(&acquired, false).unwrap().far_end(), None);
        let transport = with(policy(1, 0), XFRMA_TMPL, &template(0, [0; 4]));
        assert_eq!(parse_policy(&transport, false).unwrap().action, IpsecAction::Transport);
        assert_eq!(parse_policy(&policy(1, 0), false).unwrap().action, IpsecAction::Bypass);
        assert_eq!(parse_policy(&policy(1, 1), false).unwrap().action, IpsecAction::Block);
    }

    #[test]
    fn policies_of_received_packets_and_of_other_interfaces_are_left_out() {
        assert_eq!(parse_policy(&policy(0, 0), false), None);
        assert_eq!(parse_policy(&policy(2, 0), false), None);
        for kind in [XFRMA_MARK, XFRMA_IF_ID] {
            let own = with(policy(1, 0), kind, &[7, 0, 0, 0, 255, 255, 255, 255]);
            assert_eq!(parse_policy(&own, false), None);
            assert!(parse_policy(&own, true).is_some());
        }
    }

    #[test]
    fn hostile_messages_are_refused() {
        let whole = with(policy(1, 0), XFRMA_TMPL, &template(1, [192, 0, 2, 9]));
        for length in 0..POLICY {
            assert_eq!(parse_policy(&whole[..length], false), None, "{length} bytes");
        }
        let half = with(policy(1, 0), XFRMA_TMPL, &[1; 63]);
        assert_eq!(parse_policy(&half, false).unwrap().action, IpsecAction::Bypass);
        let mut long = policy(1, 0);
        long[42] = 33;
        assert_eq!(parse_policy(&long, false), None);
        let mut association = vec![0; 224];
        association[SA_MODE] = 1;
        association[SA_FAMILY..SA_FAMILY + 2].copy_from_slice(&AF_INET.to_ne_bytes());
        assert_eq!(parse_association(&association), None, "an unspecified destination");
        association[SA_DESTINATION] = 192;
        assert_eq!(parse_association(&association), Some([192, 0, 0, 0].into()));
        assert_eq!(parse_association(&association[..SA_MODE]), None);
    }
}
