//! What the system's resolver answered, for the other nodes to compare with their own answers.

use sentinel_model::{AnswerPath, AnswersSeen, Fact, Monotonic, Observation, Outcome, ResolvedName};
use sentinel_swarm::NameAnswer;
use std::collections::BTreeMap;

/// The latest answer of the system's resolver for each name, in the current epoch.
#[derive(Debug, Default)]
pub(crate) struct SystemAnswers {
    by_name: BTreeMap<String, (ResolvedName, Monotonic)>,
}

impl SystemAnswers {
    /// Records the answer that an observation holds, if it came from the system's resolver.
    ///
    /// Names that stop resolving are no longer shared.
    pub(crate) fn record(&mut self, observation: &Observation) {
        let Fact::Answers(AnswersSeen { name, path: AnswerPath::System, answer }) = &observation.fact else {
            return;
        };
        match answer {
            Outcome::Measured(answer) => {
                self.by_name.insert(name.clone(), (answer.clone(), observation.at.boot));
            }
            Outcome::Unknown(_) => {
                self.by_name.remove(name);
            }
        }
    }

    /// Discards all answers. A network change may have replaced the resolver.
    pub(crate) fn clear(&mut self) {
        self.by_name.clear();
    }

    /// Returns all answers in the form shared with other nodes, with their age at `now`.
    pub(crate) fn to_share(&self, now: Monotonic) -> Vec<NameAnswer> {
        self.by_name
            .iter()
            .map(|(name, (answer, at))| NameAnswer {
                name: name.clone(),
                addresses: answer.addresses.iter().map(|seen| seen.address).collect(),
                canonical: answer.canonical.clone(),
                certificate: answer
                    .certificate
                    .as_ref()
                    .and_then(|certificate| certificate.measured().copied()),
                age: now.since(*at),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::{Attributed, Epoch, Millis, Moment, Reason};

    fn seen(name: &str, path: AnswerPath, answer: Outcome<ResolvedName>, at: u64) -> Observation {
        let at = Moment { boot: Monotonic(at), ..Moment::default() };
        let fact = Fact::Answers(AnswersSeen { name: name.into(), path, answer });
        Observation { at, epoch: Epoch::default(), fact }
    }

    fn measured(address: &str) -> Outcome<ResolvedName> {
        let addresses = vec![Attributed::bare(address.parse().unwrap())];
        Outcome::Measured(ResolvedName { addresses, ..ResolvedName::default() })
    }

    #[test]
    fn only_answers_of_the_systems_resolver_are_shared() {
        let mut answers = SystemAnswers::default();
        answers.record(&seen("a.example", AnswerPath::System, measured("203.0.113.80"), 1000));
        answers.record(&seen("a.example", AnswerPath::Public("p".into()), measured("203.0.113.99"), 1100));
        answers.record(&seen("b.example", AnswerPath::System, Outcome::Unknown(Reason::TimedOut), 1200));
        answers.record(&seen("c.example", AnswerPath::System, measured("203.0.113.81"), 1300));
        answers.record(&seen("c.example", AnswerPath::System, Outcome::Unknown(Reason::TimedOut), 1400));
        let shared = answers.to_share(Monotonic(1500));
        assert_eq!(shared.len(), 1);
        assert_eq!((shared[0].name.as_str(), shared[0].age), ("a.example", Millis(500)));
        assert_eq!(shared[0].addresses, ["203.0.113.80".parse::<std::net::IpAddr>().unwrap()]);
        answers.clear();
        assert!(answers.to_share(Monotonic(1500)).is_empty());
    }
}
