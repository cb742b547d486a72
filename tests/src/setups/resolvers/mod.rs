//! The ways in which the laptop resolves names.

mod file;

use super::part::{PartInfo, ResolverPart};

/// The software between programs and the DNS servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ResolverKind {
    /// `/etc/resolv.conf`, rewritten by scripts.
    File,
}

impl ResolverKind {
    /// All of them, the most common first.
    pub(crate) const ALL: &'static [Self] = &[Self::File];

    /// Returns the description.
    pub(crate) fn info(self) -> PartInfo {
        match self {
            Self::File => file::INFO,
        }
    }

    /// Creates the part, which is not started.
    pub(crate) fn create(self) -> Box<dyn ResolverPart> {
        match self {
            Self::File => Box::new(file::FileResolver::default()),
        }
    }
}
