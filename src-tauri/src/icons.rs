//! The four shapes a verdict is shown as, in the tray and beside a notification.

use crate::theme::Panel;
use sentinel_model::Verdict;
use tauri::{image::Image, include_image};

/// A verdict's shape. They differ in outline, not only in colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// A closed shield with a tick.
    Protected,
    /// A shield broken in two around an exclamation mark.
    Exposed,
    /// A shield with a question mark.
    Caution,
    /// The outline of a shield.
    Off,
}

impl From<Verdict> for Shape {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Protected => Self::Protected,
            Verdict::Exposed => Self::Exposed,
            Verdict::Suspect | Verdict::Unverified => Self::Caution,
            Verdict::Off => Self::Off,
        }
    }
}

impl Shape {
    /// The bitmap to show on such a panel.
    pub fn image(self, panel: Panel) -> Image<'static> {
        match (self, panel) {
            (Self::Protected, Panel::Light) => include_image!("../icons/tray/protected-light.png"),
            (Self::Protected, Panel::Dark) => include_image!("../icons/tray/protected-dark.png"),
            (Self::Protected, Panel::Unknown) => include_image!("../icons/tray/protected-any.png"),
            (Self::Exposed, Panel::Light) => include_image!("../icons/tray/exposed-light.png"),
            (Self::Exposed, Panel::Dark) => include_image!("../icons/tray/exposed-dark.png"),
            (Self::Exposed, Panel::Unknown) => include_image!("../icons/tray/exposed-any.png"),
            (Self::Caution, Panel::Light) => include_image!("../icons/tray/caution-light.png"),
            (Self::Caution, Panel::Dark) => include_image!("../icons/tray/caution-dark.png"),
            (Self::Caution, Panel::Unknown) => include_image!("../icons/tray/caution-any.png"),
            (Self::Off, Panel::Light) => include_image!("../icons/tray/off-light.png"),
            (Self::Off, Panel::Dark) => include_image!("../icons/tray/off-dark.png"),
            (Self::Off, Panel::Unknown) => include_image!("../icons/tray/off-any.png"),
        }
    }
}
