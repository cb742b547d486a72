//! The networks to look into, the most important first, and a packet to each.

use crate::platform::{
    api::{PacketKind, RouteSample},
    on_link,
    prefix::sample_points,
};
use ipnet::IpNet;
use sentinel_model::{RouteOrigin, Traffic};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// How many networks are looked into.
const MAX_CANDIDATES: usize = 128;
/// How many packets are looked up.
const MAX_SAMPLES: usize = 160;
/// How many packets to a network whose packets may take different paths: if half of the paths lead
/// elsewhere, all of them miss those once in 65,536 times.
const SAMPLES_OF_SEVERAL: usize = 16;

/// How much a network matters, the most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Rank {
    /// A rule selects packets to it.
    Rule,
    /// A single public host.
    Host,
    /// A public network.
    Network,
    /// A private network behind a router.
    Private,
    /// A network behind a tunnel.
    Tunnel,
}

/// A network whose packets, or those of one protocol and port, may take a route of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub network: IpNet,
    pub traffic: Option<Traffic>,
    pub origin: Option<RouteOrigin>,
    /// Of several routes to the same network, the one with the lowest metric is the one in use.
    pub metric: u32,
    pub has_several_paths: bool,
}

/// The candidates, each network once per kind of traffic.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    by_rank: BTreeMap<Rank, BTreeMap<(IpNet, Option<Traffic>), Candidate>>,
    count: usize,
    is_incomplete: bool,
}

impl Candidates {
    /// Adds a candidate; the least important gives way to it where there are too many.
    pub fn insert(&mut self, rank: Rank, candidate: Candidate) {
        if let Some(known) = self.find(&candidate) {
            known.merge(&candidate);
            return;
        }
        if self.count >= MAX_CANDIDATES {
            self.is_incomplete = true;
            let worst = self.by_rank.iter_mut().rev().find(|(_, all)| !all.is_empty());
            let Some((_, all)) = worst.filter(|(worst, _)| **worst > rank) else { return };
            all.pop_last();
            self.count -= 1;
        }
        let key = (candidate.network, candidate.traffic);
        self.by_rank.entry(rank).or_default().insert(key, candidate);
        self.count += 1;
    }

    fn find(&mut self, candidate: &Candidate) -> Option<&mut Candidate> {
        let key = (candidate.network, candidate.traffic);
        self.by_rank.values_mut().find_map(|all| all.get_mut(&key))
    }

    /// Notes that not all routes were read.
    pub fn note_incomplete(&mut self) {
        self.is_incomplete = true;
    }

    /// Returns true if something was left out.
    pub fn is_incomplete(&self) -> bool {
        self.is_incomplete
    }

    /// Returns the packets to look up.
    pub fn into_samples(self) -> Vec<RouteSample> {
        let candidates: Vec<Candidate> = self.by_rank.into_values().flat_map(BTreeMap::into_values).collect();
        let networks: Vec<IpNet> = candidates.iter().map(|candidate| candidate.network).collect();
        let mut used = BTreeSet::new();
        let mut samples = Vec::new();
        for candidate in &candidates {
            let count = if candidate.has_several_paths { SAMPLES_OF_SEVERAL } else { 1 };
            for destination in candidate.destinations(&networks, &used, count) {
                used.insert(destination);
                samples.push(candidate.sample(destination));
            }
            if samples.len() >= MAX_SAMPLES {
                break;
            }
        }
        samples.truncate(MAX_SAMPLES);
        samples
    }
}

impl Candidate {
    fn merge(&mut self, other: &Self) {
        self.has_several_paths |= other.has_several_paths;
        if self.origin.is_none() || other.origin.is_some() && other.metric < self.metric {
            (self.origin, self.metric) = (other.origin, other.metric);
        }
    }

    /// Returns destinations inside the network: unused, public, outside all narrower networks.
    ///
    /// Where there is none, the best that there is.
    fn destinations(&self, networks: &[IpNet], used: &BTreeSet<IpAddr>, count: usize) -> Vec<IpAddr> {
        let narrower: Vec<&IpNet> = networks
            .iter()
            .filter(|other| **other != self.network && self.network.contains(*other))
            .collect();
        let is_within_narrower = |point: &IpAddr| narrower.iter().any(|network| network.contains(point));
        let mut points: Vec<(bool, bool, bool, IpAddr)> = sample_points(self.network)
            .map(|point| {
                (is_within_narrower(&point), on_link::is_private(point), used.contains(&point), point)
            })
            .collect();
        // Stable: of equally good points, the first.
        points.sort_by_key(|(narrow, private, used, _)| (*narrow, *private, *used));
        points.into_iter().map(|(.., point)| point).take(count).collect()
    }

    fn sample(&self, destination: IpAddr) -> RouteSample {
        let packet = match self.traffic {
            Some(Traffic { transport, port }) => PacketKind { destination, transport, port },
            None => PacketKind::web(destination),
        };
        RouteSample { packet, origin: self.origin, depends_on_traffic: self.traffic.is_some() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::Transport;

    fn candidate(network: &str) -> Candidate {
        let network = network.parse().unwrap();
        Candidate { network, traffic: None, origin: None, metric: 0, has_several_paths: false }
    }

    fn destinations(candidates: Candidates) -> Vec<String> {
        let samples = candidates.into_samples();
        samples.iter().map(|sample| sample.packet.destination.to_string()).collect()
    }

    #[test]
    fn a_sample_is_public_and_outside_narrower_networks() {
        let mut candidates = Candidates::default();
        for network in ["203.0.113.0/24", "203.0.113.0/25", "0.0.0.0/1", "10.0.0.0/7"] {
            candidates.insert(Rank::Network, candidate(network));
        }
        candidates.insert(Rank::Host, candidate("203.0.113.1/32"));
        let samples = candidates.into_samples();
        let of = |network: &str| {
            let network: IpNet = network.parse().unwrap();
            let mut inside = samples.iter().map(|sample| sample.packet.destination);
            inside.find(|destination| network.contains(destination)).unwrap()
        };
        assert_eq!(of("203.0.113.128/25").to_string(), "203.0.113.129");
        let half: IpNet = "203.0.113.0/25".parse().unwrap();
        let in_half: BTreeSet<IpAddr> =
            samples.iter().map(|sample| sample.packet.destination).filter(|it| half.contains(it)).collect();
        assert_eq!(in_half.len(), 2, "{in_half:?}");
        assert!(!on_link::is_private(of("0.0.0.0/1")) && !on_link::is_private(of("11.0.0.0/8")));
    }

    #[test]
    fn the_least_important_give_way_and_memory_is_bounded() {
        let mut candidates = Candidates::default();
        for number in 0..5000_u32 {
            let host = IpNet::from(IpAddr::from((0x0900_0000 + number).to_be_bytes()));
            candidates.insert(Rank::Tunnel, Candidate { network: host, ..candidate("9.0.0.0/32") });
        }
        assert!(candidates.is_incomplete() && candidates.count == MAX_CANDIDATES);
        candidates.insert(Rank::Rule, candidate("203.0.113.0/24"));
        assert_eq!(candidates.count, MAX_CANDIDATES);
        assert_eq!(destinations(candidates)[0], "203.0.113.1");
    }

    #[test]
    fn several_paths_are_sampled_often_and_traffic_apart() {
        let mut candidates = Candidates::default();
        let several = Candidate { has_several_paths: true, ..candidate("203.0.113.0/24") };
        candidates.insert(Rank::Network, several);
        let dns = Some(Traffic { transport: Transport::Udp, port: 53 });
        candidates.insert(Rank::Rule, Candidate { traffic: dns, ..candidate("192.0.2.0/24") });
        let samples = candidates.into_samples();
        let different: BTreeSet<IpAddr> = samples.iter().map(|sample| sample.packet.destination).collect();
        assert_eq!(different.len(), SAMPLES_OF_SEVERAL + 1);
        assert!(samples[0].depends_on_traffic && samples[0].packet.port == 53);
    }

    #[test]
    fn of_two_routes_to_a_network_the_one_in_use_names_the_origin() {
        let mut candidates = Candidates::default();
        for (metric, origin) in
            [(100, RouteOrigin::Dhcp), (50, RouteOrigin::Program), (70, RouteOrigin::Kernel)]
        {
            let route = Candidate { metric, origin: Some(origin), ..candidate("203.0.113.0/24") };
            candidates.insert(Rank::Network, route);
        }
        assert_eq!(candidates.into_samples()[0].origin, Some(RouteOrigin::Program));
    }
}
