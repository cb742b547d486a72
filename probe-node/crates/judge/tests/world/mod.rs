//! A small world to judge: two nodes and a service on different networks, a home line, a VPN
//! provider, and a clock that the test moves.
#![allow(dead_code, reason = "each test file uses its own part of the world")]
#![allow(clippy::unwrap_used, reason = "a broken fixture is a broken test")]

use sentinel_judge::{Assessment, Judge, Policy};
use sentinel_model::*;
use std::net::IpAddr;

pub const HOME: &str = "198.51.100.142";
pub const HOME6: &str = "2001:db8:51:7::9";
pub const VPN: &str = "203.0.113.12";
pub const VPN6: &str = "2001:db8:99::12";
pub const FRA: (&str, u32) = ("vps-fra", 64_501);
pub const SERVER: (&str, u32) = ("home-server", 64_500);
pub const OSLO: (&str, u32) = ("vps-osl", 64_503);

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Returns an address with its owner in this world.
pub fn attributed(text: &str) -> Attributed {
    let owners = [
        ("203.0.113.0/24", 64_510, "Example VPN", Some("Sweden")),
        ("2001:db8:99::/48", 64_510, "Example VPN", Some("Sweden")),
        ("192.0.2.128/25", 64_511, "Other VPN", Some("Norway")),
        ("9.9.9.0/24", 19_281, "Quad9", None),
        ("198.18.9.0/24", 64_520, "Example Transit", None),
        ("198.51.100.53/32", 64_500, "Example ISP", None),
    ];
    let address = ip(text);
    let owner = owners.iter().find(|(prefix, ..)| prefix.parse::<IpNet>().unwrap().contains(&address)).map(
        |(_, asn, name, country)| Owner {
            asn: Some(Asn(*asn)),
            name: (*name).to_owned(),
            country: country.map(str::to_owned),
        },
    );
    Attributed { address, owner }
}

pub fn voice((name, asn): (&str, u32)) -> Voice {
    Voice {
        source: Source::Node(NodeId(name.to_owned())),
        name: name.to_owned(),
        network: NetworkKey::Asn(Asn(asn)),
    }
}

pub fn exit(who: (&str, u32), address: &str) -> Fact {
    Fact::Exit(ExitSeen {
        family: Family::of(ip(address)),
        voice: voice(who),
        path: ExitPath::Beacon,
        address: Outcome::Measured(attributed(address)),
        route: None,
    })
}

pub fn silent(who: (&str, u32), family: Family) -> Fact {
    let address = Outcome::Unknown(Reason::TimedOut);
    Fact::Exit(ExitSeen { family, voice: voice(who), path: ExitPath::Beacon, address, route: None })
}

pub fn trip(who: (&str, u32), millis: u32) -> Fact {
    Fact::RoundTrip(RoundTrip {
        family: Family::V4,
        target: voice(who),
        rtt: Micros(millis * 1_000),
        exit: Some(attributed(VPN)),
    })
}

pub fn resolver(address: &str) -> Fact {
    Fact::Resolver(ResolverSeen {
        path: ResolverPath::System,
        zone: "c.probe.example".to_owned(),
        resolvers: Outcome::Measured(vec![attributed(address)]),
    })
}

pub fn configured(address: &str) -> Fact {
    Fact::ResolverConfig(Outcome::Measured(vec![ConfiguredResolver {
        address: ip(address),
        interface: None,
        role: ResolverRole::First,
    }]))
}

pub fn route_for(purpose: RoutePurpose, destination: &str, interface: &str) -> Fact {
    let kind = match interface {
        "lo" => InterfaceKind::Loopback,
        tunnel if tunnel.starts_with("wg") => InterfaceKind::Tunnel,
        _ => InterfaceKind::Physical,
    };
    Fact::Route(RouteSeen {
        destination: ip(destination),
        purpose,
        taken: Outcome::Measured(RouteTaken {
            interface: interface.to_owned(),
            kind,
            gateway: None,
            source: None,
        }),
        origin: None,
        traffic: None,
    })
}

pub fn route(destination: &str, interface: &str) -> Fact {
    route_for(RoutePurpose::Spread, destination, interface)
}

pub fn no_route(destination: &str) -> Fact {
    Fact::Route(RouteSeen {
        destination: ip(destination),
        purpose: RoutePurpose::Spread,
        taken: Outcome::Unknown(Reason::Unreachable),
        origin: None,
        traffic: None,
    })
}

pub fn interfaces(tunnel: bool) -> Fact {
    let interface = |name: &str, kind, net: &str| Interface {
        name: name.to_owned(),
        kind,
        up: true,
        addresses: vec![net.parse().unwrap()],
    };
    let mut all = vec![interface("eth0", InterfaceKind::Physical, "192.168.1.7/24")];
    if tunnel {
        all.push(interface("wg0", InterfaceKind::Tunnel, "10.64.0.2/32"));
    }
    Fact::Interfaces(Outcome::Measured(all))
}

pub fn policy() -> Policy {
    let bogons = ["10.0.0.0/8", "192.168.0.0/16", "127.0.0.0/8", "fc00::/7"];
    Policy {
        home: Home {
            addresses: vec![ip(HOME), ip(HOME6)],
            resolvers: vec![ip("198.51.100.53")],
            ..Home::default()
        },
        bogons: bogons.iter().map(|range| range.parse().unwrap()).collect(),
        ..Policy::default()
    }
}

pub struct World {
    pub judge: Judge,
    pub ms: u64,
    pub epoch: Epoch,
    pub notices: Vec<Notice>,
    pub changed: Vec<Incident>,
    pub remeasured: usize,
}

impl World {
    pub fn new(policy: Policy) -> Self {
        let now = moment(0);
        Self {
            judge: Judge::new(policy, now),
            ms: 0,
            epoch: Epoch(0),
            notices: Vec::new(),
            changed: Vec::new(),
            remeasured: 0,
        }
    }

    /// Creates a laptop behind a working VPN, witnessed by two nodes.
    pub fn protected() -> Self {
        let mut world = Self::new(policy());
        world.see(tunnelled());
        world.assess();
        for _ in 0..3 {
            world.ms += 1_000;
            world.see([exit(FRA, VPN), exit(SERVER, VPN)]);
            world.assess();
        }
        assert_eq!(world.verdict(), Verdict::Protected);
        world
    }

    pub fn now(&self) -> Moment {
        moment(self.ms)
    }

    pub fn see(&mut self, facts: impl IntoIterator<Item = Fact>) {
        for fact in facts {
            self.judge.observe(&Observation { at: moment(self.ms), epoch: self.epoch, fact });
        }
    }

    pub fn network_change(&mut self) {
        self.epoch = self.epoch.next();
        self.judge.begin_epoch(self.epoch, moment(self.ms));
    }

    pub fn assess(&mut self) -> Assessment {
        let assessment = self.judge.assess(self.now());
        self.notices.extend(assessment.notices.iter().cloned());
        self.changed.extend(assessment.changed.iter().cloned());
        self.remeasured += usize::from(assessment.remeasure);
        assessment
    }

    /// Lets seconds pass, with the same observations in each.
    pub fn pass(&mut self, seconds: u64, facts: impl Fn() -> Vec<Fact>) -> Assessment {
        for _ in 0..seconds {
            self.ms += 1_000;
            self.see(facts());
            self.assess();
        }
        self.assess()
    }

    pub fn verdict(&mut self) -> Verdict {
        self.assess().shown.verdict.verdict
    }

    pub fn titles(&self) -> Vec<&str> {
        self.notices.iter().map(|notice| notice.title.as_str()).collect()
    }
}

pub fn moment(ms: u64) -> Moment {
    let midnight = 1_700_006_400_000;
    Moment { boot: Monotonic(1_000_000 + ms), wall: Timestamp(midnight + i64::try_from(ms).unwrap()) }
}

pub fn tunnelled() -> Vec<Fact> {
    vec![
        Fact::Connectivity(Connectivity::Online),
        interfaces(true),
        route("8.8.8.8", "wg0"),
        route("1.1.1.1", "wg0"),
        configured("10.64.0.1"),
        route_for(RoutePurpose::Resolver, "10.64.0.1", "wg0"),
        resolver(VPN),
    ]
}

pub fn kinds(assessment: &Assessment) -> Vec<FindingKind> {
    assessment.shown.findings.iter().map(|finding| finding.kind).collect()
}

pub fn all_vpn() -> Vec<Fact> {
    vec![exit(FRA, VPN), exit(SERVER, VPN)]
}

pub fn all_home() -> Vec<Fact> {
    vec![exit(FRA, HOME), exit(SERVER, HOME)]
}
