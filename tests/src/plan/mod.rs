//! The hosts, addresses and links of the lab.
//!
//! All addresses come from the ranges reserved for documentation and benchmarking. The standard
//! world:
//!
//! ```text
//! laptop -- home-router --+            +-- vpn          Example VPN: WireGuard, resolver, exits
//! 192.168.1.2   NAT       |            +-- other-vpn    Other VPN: the same services
//! (roams to) cafe-router -+            +-- isp          Example ISP's resolver
//!                         +- Internet -+-- public-dns   a public resolver
//! home-server - second-  -+            +-- root-dns     the authoritative server of all zones
//! 192.168.7.2   router    |            +-- stun         a public STUN server
//!               NAT       |            +-- echo         returns the caller's address over HTTPS
//! vps --------- cloud ----+
//! 192.0.2.10    router
//! ```
//!
//! Hosts and services that only some scenarios need are [`Extra`]s.

mod addresses;
mod attachments;
mod extras;
mod operators;
mod services;

pub use addresses::*;
pub use attachments::tunnel_round_trip;
pub(crate) use attachments::{Attachment, attachments, list_hosts};
pub use extras::{Extra, Extras};
pub(crate) use operators::{BOGONS, NETWORKS};
pub(crate) use services::{
    choose_content_server, echo_services, gateway_of, has_websites, panel, public_resolvers, resolver_of,
    router_of, stun_servers,
};
