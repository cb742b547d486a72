//! The shapes that stand for verdicts in the tray and in notifications.

use crate::panel_theme::PanelTheme;
use sentinel_model::Verdict;
use tauri::{image::Image, include_image};

/// The shape of a verdict. The shapes differ in outline, not only in colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VerdictShape {
    /// A closed shield with a tick.
    Protected,
    /// A shield broken in two around an exclamation mark.
    Exposed,
    /// A shield with a question mark.
    Caution,
    /// The outline of a shield.
    Off,
}

impl From<Verdict> for VerdictShape {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Protected => Self::Protected,
            Verdict::Exposed => Self::Exposed,
            Verdict::Suspect | Verdict::Unverified => Self::Caution,
            Verdict::Off => Self::Off,
        }
    }
}

impl VerdictShape {
    /// Returns the bitmap that is readable on such a panel.
    pub fn image(self, panel: PanelTheme) -> Image<'static> {
        match (self, panel) {
            (Self::Protected, PanelTheme::Light) => include_image!("../icons/tray/protected-light.png"),
            (Self::Protected, PanelTheme::Dark) => include_image!("../icons/tray/protected-dark.png"),
            (Self::Protected, PanelTheme::Unknown) => include_image!("../icons/tray/protected-any.png"),
            (Self::Exposed, PanelTheme::Light) => include_image!("../icons/tray/exposed-light.png"),
            (Self::Exposed, PanelTheme::Dark) => include_image!("../icons/tray/exposed-dark.png"),
            (Self::Exposed, PanelTheme::Unknown) => include_image!("../icons/tray/exposed-any.png"),
            (Self::Caution, PanelTheme::Light) => include_image!("../icons/tray/caution-light.png"),
            (Self::Caution, PanelTheme::Dark) => include_image!("../icons/tray/caution-dark.png"),
            (Self::Caution, PanelTheme::Unknown) => include_image!("../icons/tray/caution-any.png"),
            (Self::Off, PanelTheme::Light) => include_image!("../icons/tray/off-light.png"),
            (Self::Off, PanelTheme::Dark) => include_image!("../icons/tray/off-dark.png"),
            (Self::Off, PanelTheme::Unknown) => include_image!("../icons/tray/off-any.png"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_that_is_not_protected_never_has_the_shape_of_protection() {
        for verdict in [Verdict::Exposed, Verdict::Suspect, Verdict::Unverified, Verdict::Off] {
            assert_ne!(VerdictShape::from(verdict), VerdictShape::Protected, "{verdict}");
        }
        assert_eq!(VerdictShape::from(Verdict::Protected), VerdictShape::Protected);
    }
}
