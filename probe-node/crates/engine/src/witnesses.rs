//! Chooses the witnesses to ask: up to five nodes, in as many different networks as possible.

use sentinel_checks::{Ownership, StunCredential, WitnessTarget};
use sentinel_model::{NetworkKey, Source, Voice};
use sentinel_swarm::Witness;
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

/// More witnesses would add traffic and load, but little certainty.
const MAX_WITNESSES: usize = 5;

/// Returns the witnesses to ask: first one of each network, then others until there are five.
pub(crate) fn choose_witnesses(witnesses: &[Witness], ownership: &Ownership) -> Vec<WitnessTarget> {
    let targets: Vec<_> = witnesses.iter().filter_map(|witness| witness_target(witness, ownership)).collect();
    let mut networks = BTreeSet::new();
    let (first, rest): (Vec<_>, Vec<_>) =
        targets.into_iter().partition(|target| networks.insert(target.voice.network));
    first.into_iter().chain(rest).take(MAX_WITNESSES).collect()
}

/// Returns what a beacon to this witness needs, or `None` if it has no STUN address.
fn witness_target(witness: &Witness, ownership: &Ownership) -> Option<WitnessTarget> {
    let network = network_of(witness.stun.iter().map(SocketAddr::ip), ownership)?;
    let voice = Voice { source: Source::Node(witness.node.clone()), name: witness.name.clone(), network };
    let credential =
        StunCredential { username: witness.username.clone(), password: witness.password.clone() };
    Some(WitnessTarget { voice, addresses: witness.stun.clone(), credential: Some(credential) })
}

/// Returns the network of a node.
///
/// An IPv4 address is preferred, so that a node with both families is in one network.
fn network_of(addresses: impl Iterator<Item = IpAddr>, ownership: &Ownership) -> Option<NetworkKey> {
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
    fn witnesses_in_distinct_networks_come_first_and_at_most_five_are_chosen() {
        let mut all: Vec<_> =
            (1..=4).map(|host| witness(&format!("same{host}"), &format!("192.0.2.{host}"))).collect();
        all.extend((1..=3).map(|net| witness(&format!("other{net}"), &format!("198.{net}.0.1"))));
        let chosen = choose_witnesses(&all, &Ownership::new(Vec::new()));
        let names: Vec<_> = chosen.iter().map(|target| target.voice.name.as_str()).collect();
        assert_eq!(names, ["same1", "other1", "other2", "other3", "same2"]);
    }
}
