//! Why a DNS lookup returned no records.

use sentinel_model::Reason;

/// Why a lookup returned no records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LookupError {
    /// The name, or this type of record, does not exist. This is an answer in its own right.
    Nonexistent,
    /// No usable answer.
    Undetermined(Reason),
}
