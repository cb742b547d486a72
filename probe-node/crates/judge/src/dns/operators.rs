//! Comparing addresses by their operators.

use sentinel_model::Attributed;

/// Returns true if any two addresses of both sides have the same operator.
pub(super) fn share_operator(a: &[&Attributed], b: &[&Attributed]) -> bool {
    a.iter().any(|one| b.iter().any(|other| one.same_operator(other)))
}
