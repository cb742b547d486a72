//! Name resolution: which resolvers are used, who answers in place of one, and whether the answers
//! are right.

mod answer_comparison;
mod answers;
mod fake_ip;
mod interception;
mod leaks;
mod operators;
mod resolvers;
mod transport_comparison;

pub(crate) use answers::{AnswerSources, AnswersResult, NameAnswers};
pub(crate) use interception::Interceptions;
pub(crate) use leaks::{DnsInputs, DnsResult};
pub(crate) use resolvers::Resolvers;
