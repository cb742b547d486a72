//! Converts what other nodes resolved into observations of this node.

use crate::moments::moment_before;
use sentinel_checks::Ownership;
use sentinel_model::{
    AnswerPath, AnswersSeen, Epoch, Fact, Millis, Moment, NodeId, Observation, Outcome, ResolvedName,
};
use sentinel_swarm::NameAnswer;

/// Reads the answers of other nodes, for the names that this node compares.
pub(crate) struct PeerAnswerReader<'a> {
    /// The names this node compares.
    pub(crate) panel: &'a [String],
    /// Older answers are ignored.
    pub(crate) max_age: Millis,
    /// Attributes addresses to operators.
    pub(crate) ownership: &'a Ownership,
    /// The epoch of the observations.
    pub(crate) epoch: Epoch,
    /// The time at which the answers arrived.
    pub(crate) now: Moment,
}

impl PeerAnswerReader<'_> {
    /// Returns the answers of a node as observations, dated to when that node measured them.
    pub(crate) fn observations(&self, node: &NodeId, answers: &[NameAnswer]) -> Vec<Observation> {
        let fresh = answers.iter().filter(|answer| answer.age <= self.max_age);
        fresh
            .filter_map(|answer| Some(self.observation(node, answer, self.panel_name(&answer.name)?)))
            .collect()
    }

    /// Returns the name as this node's panel spells it, without the root's dot, or `None` if it is
    /// not there.
    fn panel_name(&self, name: &str) -> Option<&str> {
        let mut panel = self.panel.iter().map(|own| own.trim_end_matches('.'));
        panel.find(|own| own.eq_ignore_ascii_case(name))
    }

    fn observation(&self, node: &NodeId, answer: &NameAnswer, name: &str) -> Observation {
        let mut addresses: Vec<_> =
            answer.addresses.iter().map(|address| self.ownership.attribute(*address)).collect();
        addresses.sort_by_key(|seen| seen.address);
        addresses.dedup();
        let resolved = ResolvedName {
            addresses,
            canonical: answer.canonical.clone(),
            certificate: answer.certificate.map(Outcome::Measured),
        };
        let seen = AnswersSeen {
            name: name.to_owned(),
            path: AnswerPath::Node(node.clone()),
            answer: Outcome::Measured(resolved),
        };
        Observation { at: moment_before(self.now, answer.age), epoch: self.epoch, fact: Fact::Answers(seen) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::{Asn, Certificate, Monotonic, Owner, Timestamp};

    fn owner() -> Owner {
        Owner { asn: Some(Asn(64510)), name: "Content".into(), country: None }
    }

    #[test]
    fn answers_of_peers_count_for_names_of_the_own_panel_while_they_are_fresh() {
        let ownership = Ownership::new(vec![("203.0.113.0/24".parse().unwrap(), owner())]);
        let panel = ["A.example.".to_owned(), "b.example".to_owned()];
        let now = Moment { boot: Monotonic(100_000), wall: Timestamp(1_000_000) };
        let max_age = Millis::secs(90);
        let reader = PeerAnswerReader { panel: &panel, max_age, ownership: &ownership, epoch: Epoch(7), now };
        let answer = |name: &str, age| NameAnswer {
            name: name.into(),
            addresses: vec!["203.0.113.81".parse().unwrap(), "203.0.113.80".parse().unwrap()],
            canonical: Some("edge.example".into()),
            certificate: Some(Certificate::Valid),
            age,
        };
        let all = [
            answer("a.example", Millis::secs(40)),
            answer("b.example", Millis::secs(91)),
            answer("private.example", Millis(5)),
        ];
        let observations = reader.observations(&"vps".into(), &all);
        assert_eq!(observations.len(), 1, "{observations:?}");
        assert_eq!((observations[0].at.boot, observations[0].epoch), (Monotonic(60_000), Epoch(7)));
        let Fact::Answers(seen) = &observations[0].fact else { panic!("{observations:?}") };
        assert_eq!((seen.name.as_str(), &seen.path), ("A.example", &AnswerPath::Node("vps".into())));
        let answer = seen.answer.measured().unwrap();
        let addresses: Vec<_> = answer.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["203.0.113.80 (Content)", "203.0.113.81 (Content)"]);
        assert_eq!(answer.certificate, Some(Outcome::Measured(Certificate::Valid)));
    }
}
