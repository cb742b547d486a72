//! The ways in which the laptop gets its addresses on an Ethernet line.

mod fixed;

use super::{
    part::{DhcpPart, PartInfo},
    resolvers::ResolverKind,
};

/// The DHCP client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum DhcpKind {
    /// None: addresses by hand, or by the line itself.
    Fixed,
}

impl DhcpKind {
    /// All of them, the most common first.
    pub(crate) const ALL: &'static [Self] = &[Self::Fixed];

    /// Returns the description.
    pub(crate) fn info(self) -> PartInfo {
        match self {
            Self::Fixed => fixed::INFO,
        }
    }

    /// Creates the part, which is not started; `None` where no client runs.
    pub(crate) fn create(self) -> Option<Box<dyn DhcpPart>> {
        match self {
            Self::Fixed => None,
        }
    }

    /// Returns why the client cannot be combined with a resolver, if so, in a few words.
    pub(crate) fn excludes(self, _resolver: ResolverKind) -> Option<&'static str> {
        match self {
            Self::Fixed => None,
        }
    }
}
