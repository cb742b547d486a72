//! The libp2p stack: limits first, then the gate with the member protocols behind it, then pairing.
//!
//! All limits on connections and their streams are in this file, `inbound_limits`, `muxer` and
//! `gate`.

use crate::{
    gate::MembershipGate,
    inbound_limits::{self, InboundLimits},
    member_protocol::{self, MemberRequest, MemberResponse},
    muxer::{self, BoundedYamux},
    naming_transport::NamingTransport,
    pairing::protocol::{self as pairing_protocol, PairingRequest, PairingResponse},
    resolve_names::ResolveNames,
};
use libp2p::{
    PeerId, SwarmBuilder, Transport,
    core::{
        muxing::StreamMuxerBox,
        transport::{Boxed, timeout::TransportTimeout},
        upgrade::Version,
    },
    dcutr,
    gossipsub::{self, MaxCountSubscriptionFilter, TopicHash, TopicSubscriptionFilter},
    identify,
    identity::Keypair,
    noise, ping, quic, relay,
    request_response::{self, ProtocolSupport, cbor},
    swarm::NetworkBehaviour,
    tcp,
};
use libp2p_connection_limits::{self as limits, ConnectionLimits};
use std::{error::Error, sync::Arc, time::Duration};

/// How long a stranger may take for the handshake of a connection that it opens.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a peer may take to respond. All responses come from memory.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a peer may take to answer a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// The most concurrent requests on one connection.
const MAX_STREAMS: usize = 32;
/// How long a connection stays open without traffic. Members are normally idle.
const IDLE_TIMEOUT: Duration = Duration::from_hours(1);
/// How long one relayed connection may last.
///
/// It carries the members' ordinary traffic until hole punching succeeds.
const MAX_CIRCUIT_DURATION: Duration = Duration::from_hours(24);
/// The most bytes over one relayed connection. A day of announcements and requests is far less.
const MAX_CIRCUIT_BYTES: u64 = 256 << 20;
/// The most topics that a member may subscribe to: that of its swarm, and of one it founded before.
const MAX_TOPICS: usize = 2;
/// The most changes of subscriptions in one message.
const MAX_SUBSCRIPTIONS: usize = 8;
/// The protocol version that `identify` reports, to members only.
const IDENTIFY_PROTOCOL: &str = "/vpnsentinel/1";

/// All protocols of a node.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    inbound: InboundLimits,
    limits: limits::Behaviour,
    pub(crate) gate: MembershipGate<MemberProtocols>,
    pub(crate) pairing: cbor::Behaviour<PairingRequest, PairingResponse>,
}

/// The protocols between members.
#[derive(NetworkBehaviour)]
pub(crate) struct MemberProtocols {
    pub(crate) relay_client: relay::client::Behaviour,
    pub(crate) relay: relay::Behaviour,
    dcutr: dcutr::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    pub(crate) gossipsub: Gossip,
    pub(crate) requests: cbor::Behaviour<MemberRequest, MemberResponse>,
}

/// Gossip on the topics of announcements only.
type Gossip =
    gossipsub::Behaviour<gossipsub::IdentityTransform, MaxCountSubscriptionFilter<AnnouncementTopics>>;

/// Admits the topics on which swarms announce. A member must not make this node remember others.
pub(crate) struct AnnouncementTopics;

impl TopicSubscriptionFilter for AnnouncementTopics {
    fn can_subscribe(&mut self, topic: &TopicHash) -> bool {
        topic.as_str().starts_with(member_protocol::TOPIC_PREFIX)
    }
}

/// The libp2p swarm with these protocols.
pub(crate) type Network = libp2p::Swarm<Behaviour>;

/// Builds the transports and the protocols on top of them.
///
/// Nothing of the system's configuration is read for it: `names` looks up what is dialed, when it
/// is dialed.
pub(crate) fn build_network(
    key: &Keypair,
    serve_as_relay: bool,
    names: Arc<dyn ResolveNames>,
) -> Result<Network, String> {
    let network = SwarmBuilder::with_existing_identity(key.clone())
        .with_tokio()
        .with_other_transport(|key| direct_transport(key, names))
        .map_err(|error| error.to_string())?
        .with_relay_client(noise::Config::new, BoundedYamux::new)
        .map_err(|error| error.to_string())?
        .with_behaviour(|key, client| behaviour(key, client, serve_as_relay).map_err(Into::into))
        .map_err(|error| error.to_string())?
        .with_swarm_config(|config| config.with_idle_connection_timeout(IDLE_TIMEOUT))
        .build();
    Ok(network)
}

/// An authenticated connection that carries several streams.
type Connection = (PeerId, StreamMuxerBox);

/// Makes the transport of direct connections, over QUIC and TCP, to names as well as addresses.
fn direct_transport(
    key: &Keypair,
    names: Arc<dyn ResolveNames>,
) -> Result<NamingTransport<Connection>, Box<dyn Error + Send + Sync>> {
    let quic = quic::tokio::Transport::new(quic_config(quic::Config::new(key)))
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));
    let both = quic.or_transport(tcp_transport(key)?).map(|connection, _| connection.into_inner());
    Ok(NamingTransport::new(both.boxed(), names))
}

/// Makes the TCP transport, with Noise and Yamux.
fn tcp_transport(key: &Keypair) -> Result<Boxed<Connection>, Box<dyn Error + Send + Sync>> {
    let transport = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(key)?)
        .multiplex(BoundedYamux::new())
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    Ok(TransportTimeout::with_ingoing_timeout(transport, HANDSHAKE_TIMEOUT).boxed())
}

/// Gives QUIC the same limits as TCP.
fn quic_config(mut config: quic::Config) -> quic::Config {
    config.handshake_timeout = HANDSHAKE_TIMEOUT;
    config.max_concurrent_stream_limit = u32::try_from(muxer::MAX_STREAMS).unwrap_or(u32::MAX);
    config.max_connection_data = u32::try_from(muxer::MAX_BUFFERED_BYTES).unwrap_or(u32::MAX);
    config
}

fn behaviour(
    key: &Keypair,
    client: relay::client::Behaviour,
    serve_as_relay: bool,
) -> Result<Behaviour, String> {
    let me = key.public().to_peer_id();
    let member_protocols = MemberProtocols {
        relay_client: client,
        relay: relay_server(me, serve_as_relay),
        dcutr: dcutr::Behaviour::new(me),
        identify: identify::Behaviour::new(
            identify::Config::new(IDENTIFY_PROTOCOL.to_owned(), key.public())
                .with_agent_version("vpnsentinel".to_owned())
                .with_hide_listen_addrs(true),
        ),
        ping: ping::Behaviour::new(ping::Config::new().with_timeout(PING_TIMEOUT)),
        gossipsub: gossip(key)?,
        requests: request_response::Behaviour::with_codec(
            cbor::codec::Codec::default()
                .set_request_size_maximum(member_protocol::MAX_REQUEST_BYTES)
                .set_response_size_maximum(member_protocol::MAX_RESPONSE_BYTES),
            [(member_protocol::PROTOCOL, ProtocolSupport::Full)],
            request_config(),
        ),
    };
    Ok(Behaviour {
        inbound: InboundLimits::new(inbound_limits::process_size),
        limits: limits::Behaviour::new(connection_limits()),
        gate: MembershipGate::new(member_protocols),
        pairing: request_response::Behaviour::with_codec(
            cbor::codec::Codec::default()
                .set_request_size_maximum(pairing_protocol::MAX_REQUEST_BYTES)
                .set_response_size_maximum(pairing_protocol::MAX_RESPONSE_BYTES),
            [(pairing_protocol::PROTOCOL, ProtocolSupport::Full)],
            request_config(),
        ),
    })
}

fn request_config() -> request_response::Config {
    request_response::Config::default()
        .with_request_timeout(REQUEST_TIMEOUT)
        .with_max_concurrent_streams(MAX_STREAMS)
}

fn connection_limits() -> ConnectionLimits {
    ConnectionLimits::default()
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
    // Keep only the limits per peer. The relay serves only members, and several of them may share
    // one address behind a router.
    config.reservation_rate_limiters.truncate(1);
    config.circuit_src_rate_limiters.truncate(1);
    let mut relay = relay::Behaviour::new(me, config);
    relay.set_status(Some(if serve { relay::Status::Enable } else { relay::Status::Disable }));
    relay
}

fn gossip(key: &Keypair) -> Result<Gossip, String> {
    let config = gossipsub::ConfigBuilder::default()
        .validation_mode(gossipsub::ValidationMode::Strict)
        .validate_messages()
        .max_transmit_size(member_protocol::MAX_GOSSIP_BYTES)
        .flood_publish(true)
        .build()
        .map_err(|error| error.to_string())?;
    let filter = MaxCountSubscriptionFilter {
        filter: AnnouncementTopics,
        max_subscribed_topics: MAX_TOPICS,
        max_subscriptions_per_request: MAX_SUBSCRIPTIONS,
    };
    let author = gossipsub::MessageAuthenticity::Signed(key.clone());
    gossipsub::Behaviour::new_with_subscription_filter(author, config, filter).map_err(str::to_owned)
}
