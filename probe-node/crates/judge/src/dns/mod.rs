//! Name resolution: who resolves names, who answers in place of a resolver, and whether the answers are right.

mod answer_comparison;
mod answers;
mod interception;
mod resolvers;

pub(crate) use answers::{AnswerSources, NameAnswers};
pub(crate) use interception::Interceptions;
pub(crate) use resolvers::{DnsInputs, DnsReading, Resolvers};
