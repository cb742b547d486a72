//! The exit codes of the program, which scripts rely on.

use sentinel_model::Verdict;
use std::process::ExitCode;

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExitStatus {
    /// The command succeeded; for `check`: protected.
    Success,
    /// `check` found that the real address or the DNS queries are visible.
    Exposed,
    /// `check` reached no verdict of protection or exposure.
    Unverified,
    /// The command failed, or `check` could not be run; wrong usage included.
    Error,
}

impl ExitStatus {
    fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Exposed => 1,
            Self::Unverified => 2,
            Self::Error => 3,
        }
    }
}

impl From<Verdict> for ExitStatus {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Protected => Self::Success,
            Verdict::Exposed => Self::Exposed,
            Verdict::Suspect | Verdict::Unverified | Verdict::Off => Self::Unverified,
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        status.code().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_protected_is_success() {
        let zero: Vec<_> =
            [Verdict::Protected, Verdict::Exposed, Verdict::Suspect, Verdict::Unverified, Verdict::Off]
                .into_iter()
                .filter(|verdict| ExitStatus::from(*verdict).code() == 0)
                .collect();
        assert_eq!(zero, [Verdict::Protected]);
    }

    #[test]
    fn the_documented_codes_do_not_change() {
        let codes = [ExitStatus::Success, ExitStatus::Exposed, ExitStatus::Unverified, ExitStatus::Error]
            .map(ExitStatus::code);
        assert_eq!(codes, [0, 1, 2, 3]);
    }
}
