//! The facts that are recorded as intervals.

use sentinel_model::Family;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use thiserror::Error;

/// A fact that rarely changes and is therefore recorded as intervals.
///
/// Its text form is used in the database and in the API: `verdict`, `exit/v4`, `exit/v6`,
/// `resolvers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum RecordedFact {
    /// The node's verdict.
    Verdict,
    /// The exit address of one family.
    Exit(Family),
    /// The addresses of the resolvers that answered for this node.
    Resolvers,
}

impl RecordedFact {
    /// All facts.
    pub const ALL: [Self; 4] =
        [Self::Verdict, Self::Exit(Family::V4), Self::Exit(Family::V6), Self::Resolvers];
}

impl fmt::Display for RecordedFact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verdict => f.write_str("verdict"),
            Self::Exit(family) => write!(f, "exit/{}", family.name()),
            Self::Resolvers => f.write_str("resolvers"),
        }
    }
}

/// The text is not the name of a recorded fact.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is not a recorded fact; the recorded facts are verdict, exit/v4, exit/v6 and resolvers")]
pub struct UnknownFact(String);

impl FromStr for RecordedFact {
    type Err = UnknownFact;

    fn from_str(text: &str) -> Result<Self, UnknownFact> {
        Self::ALL
            .into_iter()
            .find(|fact| fact.to_string() == text)
            .ok_or_else(|| UnknownFact(text.to_owned()))
    }
}

impl From<RecordedFact> for String {
    fn from(fact: RecordedFact) -> Self {
        fact.to_string()
    }
}

impl TryFrom<String> for RecordedFact {
    type Error = UnknownFact;

    fn try_from(text: String) -> Result<Self, UnknownFact> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_forms_are_those_in_existing_databases() {
        let texts = RecordedFact::ALL.map(|fact| fact.to_string());
        assert_eq!(texts, ["verdict", "exit/v4", "exit/v6", "resolvers"]);
    }

    #[test]
    fn every_fact_survives_its_text_form_and_json() {
        for fact in RecordedFact::ALL {
            assert_eq!(fact.to_string().parse(), Ok(fact));
            let json = serde_json::to_string(&fact).unwrap();
            assert_eq!(json, format!("\"{fact}\""));
            assert_eq!(serde_json::from_str::<RecordedFact>(&json).unwrap(), fact);
        }
    }

    #[test]
    fn other_texts_are_refused_with_the_names_of_all_facts() {
        for text in ["", "exit", "exit/v5", "Verdict", "verdict ", "exit/"] {
            let error = text.parse::<RecordedFact>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}`")), "{error}");
            for fact in RecordedFact::ALL {
                assert!(error.contains(&fact.to_string()), "{error}");
            }
        }
    }
}
