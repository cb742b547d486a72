//! What names resolve to, across the swarm: what this node found out for itself is handed to the others, and what they
//! found out becomes observations here, as far as it is about this node's own panel and fresh enough to compare with.

use sentinel_checks::Ownership;
use sentinel_model::{
    AnswerPath, AnswersSeen, Epoch, Fact, Millis, Moment, Monotonic, NodeId, Observation, Outcome,
    ResolvedName, Timestamp,
};
use sentinel_swarm::NameAnswer;
use std::collections::BTreeMap;

/// What the system's resolver answered in this epoch.
#[derive(Debug, Default)]
pub(crate) struct OwnAnswers {
    names: BTreeMap<String, (ResolvedName, Monotonic)>,
}

impl OwnAnswers {
    /// Takes an observation in, if it is such an answer. A name that cannot be resolved any more is told no more.
    pub(crate) fn take(&mut self, observation: &Observation) {
        let Fact::Answers(AnswersSeen { name, path: AnswerPath::System, answer }) = &observation.fact else {
            return;
        };
        match answer {
            Outcome::Measured(answer) => {
                self.names.insert(name.clone(), (answer.clone(), observation.at.boot));
            }
            Outcome::Unknown(_) => {
                self.names.remove(name);
            }
        }
    }

    /// The network changed, and perhaps the resolver with it.
    pub(crate) fn forget(&mut self) {
        self.names.clear();
    }

    /// All of them, as the other nodes are told.
    pub(crate) fn told(&self, now: Monotonic) -> Vec<NameAnswer> {
        self.names
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

/// What makes another node's answers observations of this one.
pub(crate) struct Listener<'a> {
    /// The names this node compares.
    pub(crate) panel: &'a [String],
    /// Older answers say nothing about now.
    pub(crate) oldest: Millis,
    pub(crate) ownership: &'a Ownership,
    pub(crate) epoch: Epoch,
    pub(crate) now: Moment,
}

impl Listener<'_> {
    /// What a node told, as observations made when it measured them.
    pub(crate) fn hear(&self, node: &NodeId, told: &[NameAnswer]) -> Vec<Observation> {
        let fresh = told.iter().filter(|answer| answer.age <= self.oldest);
        fresh
            .filter_map(|answer| Some(self.observation(node, answer, self.panel_name(&answer.name)?)))
            .collect()
    }

    /// The name as this node's panel spells it, without the root's dot; nothing if it is not in there.
    fn panel_name(&self, told: &str) -> Option<&str> {
        let mut names = self.panel.iter().map(|name| name.trim_end_matches('.'));
        names.find(|name| name.eq_ignore_ascii_case(told))
    }

    fn observation(&self, node: &NodeId, told: &NameAnswer, name: &str) -> Observation {
        let mut addresses: Vec<_> =
            told.addresses.iter().map(|address| self.ownership.attribute(*address)).collect();
        addresses.sort_by_key(|seen| seen.address);
        addresses.dedup();
        let answer = ResolvedName {
            addresses,
            canonical: told.canonical.clone(),
            certificate: told.certificate.map(Outcome::Measured),
        };
        let seen = AnswersSeen {
            name: name.to_owned(),
            path: AnswerPath::Node(node.clone()),
            answer: Outcome::Measured(answer),
        };
        Observation { at: earlier(self.now, told.age), epoch: self.epoch, fact: Fact::Answers(seen) }
    }
}

/// The instant so long before another.
pub(crate) fn earlier(now: Moment, age: Millis) -> Moment {
    let wall = i64::try_from(age.0).unwrap_or(i64::MAX);
    Moment {
        boot: Monotonic(now.boot.0.saturating_sub(age.0)),
        wall: Timestamp(now.wall.0.saturating_sub(wall)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::{Asn, Attributed, Certificate, Owner, Reason};

    fn owner() -> Owner {
        Owner { asn: Some(Asn(64510)), name: "Content".into(), country: None }
    }

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
    fn only_what_the_systems_resolver_answered_is_told() {
        let mut own = OwnAnswers::default();
        own.take(&seen("a.example", AnswerPath::System, measured("203.0.113.80"), 1000));
        own.take(&seen("a.example", AnswerPath::Public("p".into()), measured("203.0.113.99"), 1100));
        own.take(&seen("b.example", AnswerPath::System, Outcome::Unknown(Reason::TimedOut), 1200));
        own.take(&seen("c.example", AnswerPath::System, measured("203.0.113.81"), 1300));
        own.take(&seen("c.example", AnswerPath::System, Outcome::Unknown(Reason::TimedOut), 1400));
        let told = own.told(Monotonic(1500));
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].name.as_str(), told[0].age), ("a.example", Millis(500)));
        assert_eq!(told[0].addresses, ["203.0.113.80".parse::<std::net::IpAddr>().unwrap()]);
        own.forget();
        assert!(own.told(Monotonic(1500)).is_empty());
    }

    #[test]
    fn answers_of_others_count_for_the_own_panel_while_they_are_fresh() {
        let ownership = Ownership::new(vec![("203.0.113.0/24".parse().unwrap(), owner())]);
        let panel = ["A.example.".to_owned(), "b.example".to_owned()];
        let now = Moment { boot: Monotonic(100_000), wall: Timestamp(1_000_000) };
        let oldest = Millis::secs(90);
        let listener = Listener { panel: &panel, oldest, ownership: &ownership, epoch: Epoch(7), now };
        let told = |name: &str, age| NameAnswer {
            name: name.into(),
            addresses: vec!["203.0.113.81".parse().unwrap(), "203.0.113.80".parse().unwrap()],
            canonical: Some("edge.example".into()),
            certificate: Some(Certificate::Valid),
            age,
        };
        let all = [
            told("a.example", Millis::secs(40)),
            told("b.example", Millis::secs(91)),
            told("private.example", Millis(5)),
        ];
        let heard = listener.hear(&"vps".into(), &all);
        assert_eq!(heard.len(), 1, "{heard:?}");
        assert_eq!((heard[0].at.boot, heard[0].epoch), (Monotonic(60_000), Epoch(7)));
        let Fact::Answers(seen) = &heard[0].fact else { panic!("{heard:?}") };
        assert_eq!((seen.name.as_str(), &seen.path), ("A.example", &AnswerPath::Node("vps".into())));
        let answer = seen.answer.measured().unwrap();
        let addresses: Vec<_> = answer.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["203.0.113.80 (Content)", "203.0.113.81 (Content)"]);
        assert_eq!(answer.certificate, Some(Outcome::Measured(Certificate::Valid)));
    }
}
