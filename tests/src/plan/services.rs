//! The public services of a world, and the resolver and router each node uses.

use super::{
    addresses::{
        ANYCAST_RESOLVER, ANYCAST_SOURCE, CLOUD_ROUTER, CONTENT, ECHO, ECHO_V6, ISP_RESOLVER,
        OTHER_VPN_RESOLVER_SOURCE, PANEL, PUBLIC_RESOLVER, SECOND_ECHO, SECOND_RESOLVER, SECOND_ROUTER,
        SECOND_STUN, STUN, STUN_V6, THIRD_ECHO, THIRD_STUN,
    },
    extras::{Extra, Extras},
};
use anyhow::{Result, bail};
use std::net::{IpAddr, Ipv4Addr};

/// Returns the server that a resolver querying from `source` gets for one name of [`CONTENT`].
///
/// Every resolver of the plan gets a different server. `name` is an index into [`CONTENT`].
pub(crate) fn choose_content_server(name: usize, source: Ipv4Addr) -> Ipv4Addr {
    let offset = match source {
        ISP_RESOLVER => 16,
        PUBLIC_RESOLVER => 32,
        SECOND_RESOLVER => 48,
        ANYCAST_SOURCE => 64,
        OTHER_VPN_RESOLVER_SOURCE => 80,
        _ => 96,
    };
    Ipv4Addr::new(198, 19, 61, u8::try_from(name).unwrap_or(u8::MAX - offset).saturating_add(offset + 1))
}

/// Returns the public STUN servers of a world: host and addresses.
pub(crate) fn stun_servers(with: &Extras) -> Vec<(&'static str, Vec<IpAddr>)> {
    let mut all = vec![("stun", vec![STUN.into(), STUN_V6.into()])];
    if with.contains(&Extra::Services) {
        all.extend([("stun-2", vec![SECOND_STUN.into()]), ("stun-3", vec![THIRD_STUN.into()])]);
    }
    all
}

/// Returns the HTTPS echo services of a world: host and addresses.
///
/// The domain name of each is `<host>.example`.
pub(crate) fn echo_services(with: &Extras) -> Vec<(&'static str, Vec<IpAddr>)> {
    let mut all = vec![("echo", vec![ECHO.into(), ECHO_V6.into()])];
    if with.contains(&Extra::Services) {
        all.extend([("echo-2", vec![SECOND_ECHO.into()]), ("echo-3", vec![THIRD_ECHO.into()])]);
    }
    all
}

/// Returns the public resolvers in the laptop's configuration: host and address.
pub(crate) fn public_resolvers(with: &Extras) -> Vec<(&'static str, Ipv4Addr)> {
    let mut all = vec![("public-dns", PUBLIC_RESOLVER)];
    if with.contains(&Extra::SecondResolver) {
        all.push(("second-dns", SECOND_RESOLVER));
    }
    if with.contains(&Extra::AnycastResolver) {
        all.push(("anycast-dns", ANYCAST_RESOLVER));
    }
    all
}

/// Returns the resolver that a node other than the laptop's uses.
pub(crate) fn resolver_of(node: &str, with: &Extras) -> Ipv4Addr {
    if node == "home-server" && with.contains(&Extra::SecondResolver) {
        SECOND_RESOLVER
    } else {
        PUBLIC_RESOLVER
    }
}

/// Returns the names whose answers the nodes compare.
pub(crate) fn panel(with: &Extras) -> Vec<&'static str> {
    if with.contains(&Extra::ContentNetwork) {
        return CONTENT.to_vec();
    }
    PANEL.iter().map(|(name, _, _)| *name).collect()
}

/// Returns true if the world has TLS servers for the panel or for the content network.
pub(crate) fn has_websites(with: &Extras) -> bool {
    with.contains(&Extra::Websites) || with.contains(&Extra::ContentNetwork)
}

/// Returns the router, attached to the Internet, behind which a node is located.
///
/// # Errors
/// Fails if no node is planned for that host.
pub(crate) fn router_of(node: &str) -> Result<&'static str> {
    match node {
        "laptop" => Ok("home-router"),
        "vps" => Ok("cloud"),
        "home-server" => Ok("second-router"),
        _ => bail!("no node runs on {node}; the nodes are laptop, vps and home-server"),
    }
}

/// Returns the address of a witness's router on its LAN.
///
/// # Errors
/// Fails if the host runs no witness.
pub(crate) fn gateway_of(node: &str) -> Result<Ipv4Addr> {
    match node {
        "vps" => Ok(CLOUD_ROUTER),
        "home-server" => Ok(SECOND_ROUTER),
        _ => bail!("{node} is not a witness; the witnesses are vps and home-server"),
    }
}
