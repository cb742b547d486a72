//! Asks the witnesses for attestations and converts them into observations of this node.

use crate::{moments::moment_before, peer_answers::PeerAnswerReader};
use futures::future::join_all;
use sentinel_checks::{Ownership, WitnessTarget};
use sentinel_model::{
    Clock, Epoch, ExitPath, ExitSeen, Fact, Family, Millis, Moment, NodeId, Observation, Outcome,
};
use sentinel_swarm::{Attestation, Swarm};

/// Collects attestations for the epoch in which it was made.
pub(crate) struct AttestationCollector {
    pub(crate) clock: Clock,
    pub(crate) ownership: Ownership,
    /// The names this node compares.
    pub(crate) panel: Vec<String>,
    /// Older answers of witnesses are ignored.
    pub(crate) max_answer_age: Millis,
    pub(crate) epoch: Epoch,
    pub(crate) epoch_began: Moment,
}

impl AttestationCollector {
    /// Asks all witnesses at once. One that does not answer adds nothing.
    pub(crate) async fn collect(
        &self,
        swarm: &Swarm,
        witnesses: &[(NodeId, WitnessTarget)],
    ) -> Vec<Observation> {
        let requests = witnesses.iter().map(|(node, target)| async move {
            match swarm.attest(node).await {
                Ok(attestation) => self.observations(target, &attestation),
                Err(error) => {
                    tracing::debug!(node = %target.voice.name, %error, "a witness sent no attestation");
                    Vec::new()
                }
            }
        });
        join_all(requests).await.concat()
    }

    fn observations(&self, target: &WitnessTarget, attestation: &Attestation) -> Vec<Observation> {
        let now = (self.clock)();
        // What was seen before the network changed is not evidence about the current network.
        let in_epoch = now.boot.since(self.epoch_began.boot);
        let seen = attestation.seen.iter().filter(|seen| seen.age < in_epoch);
        let exits = seen.map(|seen| {
            let address = self.ownership.attribute(seen.address);
            let fact = Fact::Exit(ExitSeen {
                family: Family::of(address.address),
                voice: target.voice.clone(),
                path: ExitPath::Attested,
                address: Outcome::Measured(address),
                route: None,
            });
            Observation { at: moment_before(now, seen.age), epoch: self.epoch, fact }
        });
        let answers = PeerAnswerReader {
            panel: &self.panel,
            max_age: self.max_answer_age,
            ownership: &self.ownership,
            epoch: self.epoch,
            now,
        };
        exits.chain(answers.observations(&attestation.node, &attestation.answers)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::{Monotonic, NetworkKey, Source, Timestamp, Voice};
    use sentinel_swarm::SeenAddress;
    use std::{net::IpAddr, sync::Arc};

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn witness() -> WitnessTarget {
        let network = NetworkKey::of_prefix(address("192.0.2.1"));
        let voice = Voice { source: Source::Node("vps".into()), name: "vps".into(), network };
        WitnessTarget { voice, addresses: Vec::new(), credential: None }
    }

    fn attestation(seen: &[(&str, u64)]) -> Attestation {
        let seen = seen.iter().map(|(text, age)| SeenAddress {
            family: Family::of(address(text)),
            address: address(text),
            age: Millis(*age),
        });
        Attestation {
            node: "vps".into(),
            generation: 1,
            issued: Timestamp(0),
            seen: seen.collect(),
            answers: Vec::new(),
        }
    }

    #[test]
    fn only_addresses_seen_since_the_network_changed_become_observations() {
        let now = Moment { boot: Monotonic(10_000), wall: Timestamp(60_000) };
        let collector = AttestationCollector {
            clock: Arc::new(move || now),
            ownership: Ownership::new(Vec::new()),
            panel: Vec::new(),
            max_answer_age: Millis::secs(90),
            epoch: Epoch(3),
            epoch_began: Moment { boot: Monotonic(9_000), wall: Timestamp(59_000) },
        };
        let attestation = attestation(&[("203.0.113.9", 400), ("2001:db8:9::9", 1_000)]);
        let observations = collector.observations(&witness(), &attestation);
        assert_eq!(observations.len(), 1, "{observations:?}");
        let Observation { at, epoch, fact: Fact::Exit(exit) } = &observations[0] else {
            panic!("{observations:?}")
        };
        assert_eq!((at.boot, at.wall, *epoch), (Monotonic(9_600), Timestamp(59_600), Epoch(3)));
        assert_eq!((exit.family, exit.path), (Family::V4, ExitPath::Attested));
        assert_eq!(exit.address.measured().map(|seen| seen.address), Some(address("203.0.113.9")));
    }
}
