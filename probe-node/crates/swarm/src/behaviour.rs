//! How the libp2p protocols are put together: limits first, then the gate with all of the members' protocols behind it,
//! then pairing, which guests speak too.

use crate::{gate::Gate, pairing, protocol};
use libp2p::{
    PeerId, SwarmBuilder, dcutr, gossipsub, identify,
    identity::Keypair,
    memory_connection_limits as memory, noise, ping, relay,
    request_response::{self, ProtocolSupport, cbor},
    swarm::NetworkBehaviour,
    tcp, yamux,
};
use libp2p_connection_limits::{self as limits, ConnectionLimits};
use std::time::Duration;

/// New connections are refused while the process is larger than this. A node is budgeted at 15 MiB and a desktop at 64;
/// beyond this something is wrong, and more peers would make it worse.
const MAX_PROCESS_BYTES: usize = 512 << 20;
/// A witness answers from memory; a peer that takes longer is gone.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How many requests may be under way on one connection.
const MAX_STREAMS: usize = 32;
/// An idle connection between members is the normal case.
const IDLE_TIMEOUT: Duration = Duration::from_hours(1);
/// A circuit carries the members' ordinary traffic, for as long as the hole between them cannot be punched.
const MAX_CIRCUIT_DURATION: Duration = Duration::from_hours(24);
/// Announcements, heartbeats and requests of a day stay far below.
const MAX_CIRCUIT_BYTES: u64 = 256 << 20;
/// What `identify` says of us, and to members only.
const IDENTIFY_PROTOCOL: &str = "/vpnsentinel/1";

/// Everything.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    limits: limits::Behaviour,
    memory: memory::Behaviour,
    pub(crate) gate: Gate<Members>,
    pub(crate) pairing: cbor::Behaviour<pairing::Knock, pairing::Answer>,
}

/// What members speak with each other.
#[derive(NetworkBehaviour)]
pub(crate) struct Members {
    pub(crate) relay_client: relay::client::Behaviour,
    pub(crate) relay: relay::Behaviour,
    dcutr: dcutr::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    pub(crate) gossipsub: gossipsub::Behaviour,
    pub(crate) witness: cbor::Behaviour<protocol::Request, protocol::Response>,
}

/// The swarm of libp2p that carries ours.
pub(crate) type Network = libp2p::Swarm<Behaviour>;

/// Builds the transports and everything on top of them.
pub(crate) fn build(key: &Keypair, serve_as_relay: bool) -> Result<Network, String> {
    let network = SwarmBuilder::with_existing_identity(key.clone())
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
        .map_err(|error| error.to_string())?
        .with_quic()
        .with_dns()
        .map_err(|error| error.to_string())?
        .with_relay_client(noise::Config::new, yamux::Config::default)
        .map_err(|error| error.to_string())?
        .with_behaviour(|key, client| behaviour(key, client, serve_as_relay).map_err(Into::into))
        .map_err(|error| error.to_string())?
        .with_swarm_config(|config| config.with_idle_connection_timeout(IDLE_TIMEOUT))
        .build();
    Ok(network)
}

fn behaviour(
    key: &Keypair,
    client: relay::client::Behaviour,
    serve_as_relay: bool,
) -> Result<Behaviour, String> {
    let me = key.public().to_peer_id();
    let members = Members {
        relay_client: client,
        relay: relay_server(me, serve_as_relay),
        dcutr: dcutr::Behaviour::new(me),
        identify: identify::Behaviour::new(
            identify::Config::new(IDENTIFY_PROTOCOL.to_owned(), key.public())
                .with_agent_version("vpnsentinel".to_owned())
                .with_hide_listen_addrs(true),
        ),
        ping: ping::Behaviour::new(ping::Config::new().with_timeout(Duration::from_secs(10))),
        gossipsub: announcements(key)?,
        witness: request_response::Behaviour::with_codec(
            cbor::codec::Codec::default()
                .set_request_size_maximum(protocol::MAX_REQUEST_BYTES)
                .set_response_size_maximum(protocol::MAX_RESPONSE_BYTES),
            [(protocol::PROTOCOL, ProtocolSupport::Full)],
            requests(),
        ),
    };
    Ok(Behaviour {
        limits: limits::Behaviour::new(connection_limits()),
        memory: memory::Behaviour::with_max_bytes(MAX_PROCESS_BYTES),
        gate: Gate::new(members),
        pairing: request_response::Behaviour::with_codec(
            cbor::codec::Codec::default()
                .set_request_size_maximum(pairing::MAX_KNOCK_BYTES)
                .set_response_size_maximum(pairing::MAX_ANSWER_BYTES),
            [(pairing::PROTOCOL, ProtocolSupport::Full)],
            requests(),
        ),
    })
}

fn requests() -> request_response::Config {
    request_response::Config::default()
        .with_request_timeout(REQUEST_TIMEOUT)
        .with_max_concurrent_streams(MAX_STREAMS)
}

fn connection_limits() -> ConnectionLimits {
    ConnectionLimits::default()
        .with_max_pending_incoming(Some(32))
        .with_max_pending_outgoing(Some(128))
        .with_max_established_incoming(Some(512))
        .with_max_established(Some(1024))
        .with_max_established_per_peer(Some(4))
}

fn relay_server(me: PeerId, serve: bool) -> relay::Behaviour {
    let mut config = relay::Config {
        max_circuit_duration: MAX_CIRCUIT_DURATION,
        max_circuit_bytes: MAX_CIRCUIT_BYTES,
        max_circuits: 128,
        ..relay::Config::default()
    };
    // Only members get this far, and several may share one address behind a router: the limits per peer suffice.
    config.reservation_rate_limiters.truncate(1);
    config.circuit_src_rate_limiters.truncate(1);
    let mut relay = relay::Behaviour::new(me, config);
    relay.set_status(Some(if serve { relay::Status::Enable } else { relay::Status::Disable }));
    relay
}

fn announcements(key: &Keypair) -> Result<gossipsub::Behaviour, String> {
    let config = gossipsub::ConfigBuilder::default()
        .validation_mode(gossipsub::ValidationMode::Strict)
        .validate_messages()
        .max_transmit_size(protocol::MAX_GOSSIP_BYTES)
        .flood_publish(true)
        .build()
        .map_err(|error| error.to_string())?;
    gossipsub::Behaviour::new(gossipsub::MessageAuthenticity::Signed(key.clone()), config)
        .map_err(str::to_owned)
}

/// Whether an address leads through a relay.
pub(crate) fn is_relayed(address: &libp2p::Multiaddr) -> bool {
    address.iter().any(|part| part == libp2p::multiaddr::Protocol::P2pCircuit)
}
