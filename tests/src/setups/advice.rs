//! What the user of a setup should configure.

use super::setup::Setup;

/// The configuration that a user of a setup would write.
pub(crate) struct Advice {
    /// Lines under `[home]`.
    pub(crate) home: String,
    /// Lines under `[expectation]`, possibly none.
    pub(crate) expectation: &'static str,
}

impl Advice {
    /// Returns the whole text.
    pub(crate) fn text(&self) -> String {
        format!("[home]\n{}[expectation]\n{}", self.home, self.expectation)
    }
}

impl Setup {
    /// Returns what a user of this setup should configure.
    pub(crate) fn advice(self) -> Advice {
        let (expectation, _) = self.client.expectation();
        let home = self.line.home();
        Advice { home, expectation }
    }
}
