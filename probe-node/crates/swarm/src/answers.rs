//! What names resolve to where a node sits, for other nodes to compare with. A node tells only what it measured in rounds
//! of its own, about names of its own panel: no name ever travels in a request, and nothing is resolved on demand.

use sentinel_model::{Certificate, Millis, Monotonic};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// How many names one node tells of: as many as a panel holds.
pub(crate) const MAX_NAMES: usize = 16;
/// How many addresses it tells per name.
pub(crate) const MAX_ADDRESSES: usize = 16;
/// How long a name may be, written out (RFC 1035, section 2.3.4).
const MAX_NAME_BYTES: usize = 253;

/// What a name resolved to where a node sits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameAnswer {
    /// The name, without the root's dot.
    pub name: String,
    /// The addresses; none is an authentic "there are none".
    pub addresses: Vec<IpAddr>,
    /// The name at the end of the chain of aliases, where there is one.
    pub canonical: Option<String>,
    /// What the server at one of the addresses proved to be, where it was asked.
    pub certificate: Option<Certificate>,
    /// How long before it was told it was measured.
    pub age: Millis,
}

impl NameAnswer {
    fn is_sane(&self) -> bool {
        let fits = |name: &str| !name.is_empty() && name.len() <= MAX_NAME_BYTES;
        fits(&self.name)
            && self.canonical.as_deref().is_none_or(fits)
            && self.addresses.len() <= MAX_ADDRESSES
    }
}

/// Whether answers that came from outside are within bounds.
pub(crate) fn are_sane(answers: &[NameAnswer]) -> bool {
    answers.len() <= MAX_NAMES && answers.iter().all(NameAnswer::is_sane)
}

/// A node's own answers, which grow older while they wait to be told.
#[derive(Debug, Default)]
pub(crate) struct OwnAnswers {
    answers: Vec<NameAnswer>,
    at: Monotonic,
}

impl OwnAnswers {
    /// These answers, whose ages count from `now`. What does not fit into an attestation is left out.
    pub(crate) fn new(answers: Vec<NameAnswer>, now: Monotonic) -> Self {
        let cut = answers.into_iter().map(|mut answer| {
            answer.addresses.truncate(MAX_ADDRESSES);
            answer
        });
        Self { answers: cut.filter(NameAnswer::is_sane).take(MAX_NAMES).collect(), at: now }
    }

    /// The same as they are to be told now.
    pub(crate) fn told(&self, now: Monotonic) -> Vec<NameAnswer> {
        let waited = now.since(self.at);
        let older = |answer: &NameAnswer| Millis(answer.age.0.saturating_add(waited.0));
        self.answers.iter().map(|answer| NameAnswer { age: older(answer), ..answer.clone() }).collect()
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
    fn answers_grow_older_while_they_wait() {
        let own = OwnAnswers::new(vec![answer("a.example")], Monotonic(1000));
        assert_eq!(own.told(Monotonic(1500))[0].age, Millis(520));
        assert_eq!(own.told(Monotonic(9000))[0].age, Millis(8020));
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_from_outside_refused() {
        let long = answer(&"a".repeat(254));
        let many = NameAnswer { addresses: vec!["203.0.113.80".parse().unwrap(); 17], ..answer("b.example") };
        assert!(!are_sane(std::slice::from_ref(&long)) && !are_sane(std::slice::from_ref(&many)));
        assert!(!are_sane(&[answer("")]) && !are_sane(&vec![answer("c.example"); 17]));
        let own = OwnAnswers::new(vec![long, many, answer("c.example")], Monotonic(0)).told(Monotonic(0));
        let names: Vec<_> = own.iter().map(|told| (told.name.as_str(), told.addresses.len())).collect();
        assert_eq!(names, [("b.example", 16), ("c.example", 1)]);
        assert!(are_sane(&own));
    }
}
