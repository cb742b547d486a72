//! The shape and the word by which a verdict is shown.

use sentinel_model::Verdict;

/// The shape and colour of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerdictShape {
    /// A closed shield with a tick.
    Protected,
    /// A broken shield with an exclamation mark.
    Exposed,
    /// A full shield with a question mark.
    Suspect,
    /// A hatched shield with a question mark.
    Unverified,
    /// An outlined shield.
    Off,
    /// The shape of unverified in grey: this page has lost the connection to its node.
    Disconnected,
}

impl From<Verdict> for VerdictShape {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Protected => Self::Protected,
            Verdict::Exposed => Self::Exposed,
            Verdict::Suspect => Self::Suspect,
            Verdict::Unverified => Self::Unverified,
            Verdict::Off => Self::Off,
        }
    }
}

impl VerdictShape {
    /// Returns the word beside the shape.
    pub fn word(self) -> &'static str {
        match self {
            Self::Protected => "Protected",
            Self::Exposed => "Exposed",
            Self::Suspect => "Suspect",
            Self::Unverified | Self::Disconnected => "Unverified",
            Self::Off => "Off",
        }
    }

    /// Returns the name of the shape in the style sheet.
    pub fn class(self) -> &'static str {
        match self {
            Self::Protected => "protected",
            Self::Exposed => "exposed",
            Self::Suspect => "suspect",
            Self::Unverified => "unverified",
            Self::Off => "off",
            Self::Disconnected => "lost",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_beside_a_shape_is_the_verdict() {
        for verdict in
            [Verdict::Protected, Verdict::Exposed, Verdict::Suspect, Verdict::Unverified, Verdict::Off]
        {
            assert_eq!(VerdictShape::from(verdict).word(), verdict.to_string());
        }
    }
}
