//! One file per sort of line.

pub(super) mod ethernet;
pub(super) mod ipv6_access;
pub(super) mod point_to_point;
