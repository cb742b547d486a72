//! One file per sort of line.

pub(super) mod ethernet;
pub(super) mod ipv6_access;
pub(super) mod point_to_point;
mod tun_pair;

pub(super) use tun_pair::TunPair;
