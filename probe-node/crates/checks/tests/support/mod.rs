//! Shared by the tests of this crate: a simulated machine, a STUN server on the loopback interface,
//! and a collector of observations.
#![allow(dead_code)] // each test file uses a part of it

#[cfg(target_os = "linux")]
pub mod namespace;

use async_trait::async_trait;
use sentinel_checks::{
    Change, CheckError, Checks, FarEnd, OwnResolver, Ownership, PacketKind, PastTunnel, Platform, Probe,
    ProbeReply, Services, Settings, StunCredential, WitnessTarget, clock,
};
use sentinel_model::{
    Asn, ConfiguredResolver, Epoch, ExitSeen, Fact, Interface, InterfaceKind, Millis, NetworkKey, NodeId,
    Observation, Outcome, Owner, Reason, RoundTrip, RouteTaken, Source, Voice,
};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};
use stun_rs::{
    DecoderContextBuilder, HMACKey, MessageClass, MessageDecoder, MessageDecoderBuilder,
    MessageEncoderBuilder, StunMessage, StunMessageBuilder,
    attributes::stun::{MessageIntegritySha256, XorMappedAddress},
    methods::BINDING,
};
use tokio::{net::UdpSocket, sync::mpsc};

/// The time limit of one check in these tests.
pub const BUDGET: Millis = Millis(600);
pub const EPOCH: Epoch = Epoch(7);

/// Returns settings without any service or name; a test adds what it needs.
pub fn settings() -> Settings {
    Settings {
        services: Services {
            consent: false,
            stun: Vec::new(),
            https_echo: Vec::new(),
            whoami: Vec::new(),
            resolvers: Vec::new(),
            ownership: Vec::new(),
            portal: Vec::new(),
        },
        panel: Vec::new(),
        timeout: BUDGET,
        whoami_zones: Vec::new(),
        spread: Vec::new(),
        past_tunnel: PastTunnel::Off,
        endpoint: None,
        excluded: Vec::new(),
        // These tests use the loopback interface as the internet.
        bogons: Vec::new(),
    }
}

/// A simulated machine, as configured by the test.
pub struct Machine {
    pub resolvers: Outcome<Vec<ConfiguredResolver>>,
    pub interfaces: Outcome<Vec<Interface>>,
    pub route: Outcome<RouteTaken>,
    pub endpoints: Outcome<Vec<FarEnd>>,
    /// Returns the outcome of a probe.
    pub network: fn(&Probe) -> Outcome<ProbeReply>,
    /// The probes sent so far.
    pub probes: Arc<Mutex<Vec<Probe>>>,
}

impl Default for Machine {
    fn default() -> Self {
        let interface =
            Interface { name: "x0".into(), kind: InterfaceKind::Physical, up: true, addresses: Vec::new() };
        let route =
            RouteTaken { interface: "x0".into(), kind: InterfaceKind::Physical, gateway: None, source: None };
        Self {
            resolvers: Outcome::Measured(Vec::new()),
            interfaces: Outcome::Measured(vec![interface]),
            route: Outcome::Measured(route),
            endpoints: Outcome::Unknown(Reason::Unsupported),
            network: |_| Outcome::Unknown(Reason::TimedOut),
            probes: Arc::default(),
        }
    }
}

#[async_trait]
impl Platform for Machine {
    async fn find_route(&self, _: PacketKind) -> Outcome<RouteTaken> {
        self.route.clone()
    }

    async fn list_interfaces(&self) -> Outcome<Vec<Interface>> {
        self.interfaces.clone()
    }

    async fn read_resolver_config(&self) -> Outcome<Vec<ConfiguredResolver>> {
        self.resolvers.clone()
    }

    async fn find_far_ends(&self) -> Outcome<Vec<FarEnd>> {
        self.endpoints.clone()
    }

    async fn send_probe(&self, probe: &Probe) -> Outcome<ProbeReply> {
        self.probes.lock().unwrap().push(probe.clone());
        (self.network)(probe)
    }

    fn watch_changes(&self) -> Result<mpsc::Receiver<Change>, CheckError> {
        Ok(mpsc::channel(1).1)
    }
}

pub fn checks(settings: Settings) -> Checks {
    checks_on(settings, Machine::default())
}

pub fn checks_on(settings: Settings, machine: Machine) -> Checks {
    let machine = Arc::new(machine);
    let resolver = OwnResolver::new(&settings, Vec::new(), machine.clone());
    checks_with(settings, machine, resolver)
}

/// Returns checks whose own lookups go through this resolver.
pub fn checks_with(settings: Settings, machine: Arc<dyn Platform>, resolver: OwnResolver) -> Checks {
    let owner = Owner { asn: Some(Asn(64_500)), name: "Example".into(), country: None };
    let ownership = Ownership::new(vec![("127.0.0.0/8".parse().unwrap(), owner)]);
    Checks::new(settings, machine, ownership, resolver, clock()).unwrap()
}

pub fn voice(name: &str) -> Voice {
    let network = NetworkKey::of_prefix(IpAddr::V4(Ipv4Addr::LOCALHOST));
    Voice { source: Source::Node(NodeId::from(name)), name: name.into(), network }
}

pub fn credential(password: &str) -> StunCredential {
    StunCredential { username: "laptop".into(), password: password.into() }
}

pub fn target(name: &str, address: SocketAddr, credential: Option<StunCredential>) -> WitnessTarget {
    WitnessTarget { voice: voice(name), addresses: vec![address], credential }
}

/// Collects everything a check sends until it ends.
pub async fn gathered(run: impl AsyncFnOnce(mpsc::Sender<Observation>)) -> Vec<Fact> {
    let (tx, mut rx) = mpsc::channel::<Observation>(1);
    let collect = async {
        let mut facts = Vec::new();
        while let Some(observation) = rx.recv().await {
            assert_eq!(observation.epoch, EPOCH);
            facts.push(observation.fact);
        }
        facts
    };
    tokio::join!(run(tx), collect).1
}

pub fn exits(facts: &[Fact]) -> Vec<&ExitSeen> {
    facts.iter().filter_map(|fact| if let Fact::Exit(exit) = fact { Some(exit) } else { None }).collect()
}

pub fn round_trips(facts: &[Fact]) -> Vec<&RoundTrip> {
    facts.iter().filter_map(|fact| if let Fact::RoundTrip(trip) = fact { Some(trip) } else { None }).collect()
}

/// Returns the reason of an undetermined outcome.
pub fn because<T: std::fmt::Debug>(outcome: &Outcome<T>) -> &Reason {
    match outcome {
        Outcome::Unknown(reason) => reason,
        Outcome::Measured(value) => panic!("measured {value:?}"),
    }
}

/// A minimal STUN server on the loopback interface.
pub struct StunServer {
    pub socket: UdpSocket,
    decoder: MessageDecoder,
}

impl StunServer {
    /// Starts a server; with a password, it accepts only requests signed with it.
    pub async fn start(password: Option<&str>) -> Self {
        let decoder = match password {
            Some(password) => {
                let key = HMACKey::new_short_term(password).unwrap();
                let context = DecoderContextBuilder::default().with_key(key).with_validation().build();
                MessageDecoderBuilder::default().with_context(context).build()
            }
            None => MessageDecoderBuilder::default().build(),
        };
        Self { socket: UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap(), decoder }
    }

    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// Waits for the next request and returns it with its sender.
    pub async fn request(&self) -> (StunMessage, SocketAddr) {
        let mut buffer = [0; 1500];
        let (length, from) = self.socket.recv_from(&mut buffer).await.unwrap();
        (self.decoder.decode(&buffer[..length]).unwrap().0, from)
    }

    /// Encodes a response to a request; with a password, the response is signed.
    pub fn response(request: &StunMessage, mapped: SocketAddr, password: Option<&str>) -> Vec<u8> {
        let builder = StunMessageBuilder::new(BINDING, MessageClass::SuccessResponse)
            .with_transaction_id(*request.transaction_id())
            .with_attribute(XorMappedAddress::from(mapped));
        let message = match password {
            Some(password) => {
                let key = HMACKey::new_short_term(password).unwrap();
                builder.with_attribute(MessageIntegritySha256::new(key)).build()
            }
            None => builder.build(),
        };
        let mut buffer = [0; 256];
        let length = MessageEncoderBuilder::default().build().encode(&mut buffer, &message).unwrap();
        buffer[..length].to_vec()
    }

    /// Answers every request with the address it came from, without end.
    pub async fn serve(self, password: Option<&str>) {
        loop {
            let (request, from) = self.request().await;
            self.socket.send_to(&Self::response(&request, from, password), from).await.unwrap();
        }
    }
}

/// Waits until a condition holds, for far longer than it should take.
pub fn until(what: &str, mut is_met: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while !is_met() {
        assert!(std::time::Instant::now() < deadline, "waited in vain until {what}");
        std::thread::yield_now();
    }
}
