//! Which nodes are asked: up to five, in as many different networks as there are.

use sentinel_checks::{Ownership, StunCredential, WitnessTarget};
use sentinel_model::{NetworkKey, Source, Voice};
use sentinel_swarm::Witness;
use std::{collections::BTreeSet, net::IpAddr};

/// More witnesses would cost traffic and load without adding much certainty.
const MOST: usize = 5;

/// The witnesses to ask, networks not yet represented first.
pub(crate) fn choose(witnesses: &[Witness], ownership: &Ownership) -> Vec<WitnessTarget> {
    let targets: Vec<_> = witnesses.iter().filter_map(|witness| target(witness, ownership)).collect();
    let mut seen = BTreeSet::new();
    let (first, rest): (Vec<_>, Vec<_>) =
        targets.into_iter().partition(|target| seen.insert(target.voice.network));
    first.into_iter().chain(rest).take(MOST).collect()
}

fn target(witness: &Witness, ownership: &Ownership) -> Option<WitnessTarget> {
    let network = network(witness.stun.iter().map(std::net::SocketAddr::ip), ownership)?;
    let voice = Voice { source: Source::Node(witness.node.clone()), name: witness.name.clone(), network };
    let credential =
        StunCredential { username: witness.username.clone(), password: witness.password.clone() };
    Some(WitnessTarget { voice, addresses: witness.stun.clone(), credential: Some(credential) })
}

/// A node's network, by its IPv4 address where it has one, so that a node counts once whatever the family.
fn network(addresses: impl Iterator<Item = IpAddr>, ownership: &Ownership) -> Option<NetworkKey> {
    let mut addresses: Vec<_> = addresses.collect();
    addresses.sort();
    addresses.first().map(|address| ownership.attribute(*address).network())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn witness(name: &str, address: &str) -> Witness {
        Witness {
            node: name.into(),
            name: name.to_owned(),
            stun: vec![format!("{address}:3478").parse().unwrap()],
            username: String::new(),
            password: String::new(),
            canary_zone: None,
        }
    }

    #[test]
    fn distinct_networks_come_first_and_five_are_enough() {
        let mut all: Vec<_> =
            (1..=4).map(|host| witness(&format!("same{host}"), &format!("192.0.2.{host}"))).collect();
        all.extend((1..=3).map(|net| witness(&format!("other{net}"), &format!("198.{net}.0.1"))));
        let chosen = choose(&all, &Ownership::new(Vec::new()));
        let names: Vec<_> = chosen.iter().map(|target| target.voice.name.as_str()).collect();
        assert_eq!(names, ["same1", "other1", "other2", "other3", "same2"]);
    }
}
