//! What names resolve to at a node, for other nodes to compare with their own answers.
//!
//! A node shares only answers from its own rounds, for the names of its own panel. No name ever
//! travels in a request, and nothing is resolved on demand.

use sentinel_model::{Certificate, Millis, Monotonic};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The most names one node shares: as many as a panel holds.
pub(crate) const MAX_NAMES: usize = 16;
/// The most addresses a node shares per name.
pub(crate) const MAX_ADDRESSES: usize = 16;
/// The longest name in text form, in bytes (RFC 1035, section 2.3.4).
const MAX_NAME_BYTES: usize = 253;

/// What a name resolved to at a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameAnswer {
    /// The name, without the trailing dot.
    pub name: String,
    /// The addresses. An empty list is an authentic "no such address".
    pub addresses: Vec<IpAddr>,
    /// The name at the end of the CNAME chain, if there was one.
    pub canonical: Option<String>,
    /// The result of checking the certificate of the server at one of the addresses, if checked.
    pub certificate: Option<Certificate>,
    /// Age of the measurement when it was sent.
    pub age: Millis,
}

impl NameAnswer {
    fn is_within_limits(&self) -> bool {
        let fits = |name: &str| !name.is_empty() && name.len() <= MAX_NAME_BYTES;
        fits(&self.name)
            && self.canonical.as_deref().is_none_or(fits)
            && self.addresses.len() <= MAX_ADDRESSES
    }
}

/// Returns true if received answers are within the limits.
pub(crate) fn answers_within_limits(answers: &[NameAnswer]) -> bool {
    answers.len() <= MAX_NAMES && answers.iter().all(NameAnswer::is_within_limits)
}

/// The answers this node shares, and when it got them, so that their ages grow while they wait.
#[derive(Debug, Default)]
pub(crate) struct SharedAnswers {
    answers: Vec<NameAnswer>,
    received_at: Monotonic,
}

impl SharedAnswers {
    /// Keeps answers whose ages count from `now`. What does not fit into an attestation is dropped.
    pub(crate) fn new(answers: Vec<NameAnswer>, now: Monotonic) -> Self {
        let shortened = answers.into_iter().map(|mut answer| {
            answer.addresses.truncate(MAX_ADDRESSES);
            answer
        });
        let answers = shortened.filter(NameAnswer::is_within_limits).take(MAX_NAMES).collect();
        Self { answers, received_at: now }
    }

    /// Returns the answers with their ages as of `now`.
    pub(crate) fn aged(&self, now: Monotonic) -> Vec<NameAnswer> {
        let waited = now.since(self.received_at);
        let age = |answer: &NameAnswer| Millis(answer.age.0.saturating_add(waited.0));
        self.answers.iter().map(|answer| NameAnswer { age: age(answer), ..answer.clone() }).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn answer(name: &str) -> NameAnswer {
        NameAnswer {
            name: name.to_owned(),
            addresses: vec!["203.0.113.80".parse().unwrap()],
            canonical: None,
            certificate: None,
            age: Millis(20),
        }
    }

    #[test]
    fn answers_age_while_they_wait_to_be_sent() {
        let shared = SharedAnswers::new(vec![answer("a.example")], Monotonic(1000));
        assert_eq!(shared.aged(Monotonic(1500))[0].age, Millis(520));
        assert_eq!(shared.aged(Monotonic(9000))[0].age, Millis(8020));
    }

    #[test]
    fn oversized_answers_are_dropped_when_sending_and_refused_when_received() {
        let long = answer(&"a".repeat(254));
        let many = NameAnswer { addresses: vec!["203.0.113.80".parse().unwrap(); 17], ..answer("b.example") };
        let refused = |answers: &[NameAnswer]| !answers_within_limits(answers);
        assert!(refused(std::slice::from_ref(&long)) && refused(std::slice::from_ref(&many)));
        assert!(refused(&[answer("")]) && refused(&vec![answer("c.example"); 17]));
        let shared = SharedAnswers::new(vec![long, many, answer("c.example")], Monotonic(0));
        let sent = shared.aged(Monotonic(0));
        let names: Vec<_> =
            sent.iter().map(|answer| (answer.name.as_str(), answer.addresses.len())).collect();
        assert_eq!(names, [("b.example", 16), ("c.example", 1)]);
        assert!(answers_within_limits(&sent));
    }
}
