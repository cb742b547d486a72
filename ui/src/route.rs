//! Which page is shown.
//!
//! The fragment of the address selects it (`#nodes`). That works in the desktop's window, where
//! there is no server, and the back button works as expected.

use leptos::{ev, prelude::*};

/// A page of the dashboard, in the rail's order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Page {
    /// The verdict and the facts behind it.
    #[default]
    Overview,
    /// The exits that the voices saw, and the resolvers.
    ExitDns,
    /// Round trips over time.
    Latency,
    /// The user's nodes, and pairing.
    Nodes,
    /// Incidents and findings.
    Incidents,
}

impl Page {
    /// All pages, in order.
    pub const ALL: [Self; 5] = [Self::Overview, Self::ExitDns, Self::Latency, Self::Nodes, Self::Incidents];

    /// Returns the fragment of the page, with its `#`.
    pub fn href(self) -> &'static str {
        match self {
            Self::Overview => "#overview",
            Self::ExitDns => "#exit-dns",
            Self::Latency => "#latency",
            Self::Nodes => "#nodes",
            Self::Incidents => "#incidents",
        }
    }

    /// Returns the title.
    pub fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::ExitDns => "Exit & DNS",
            Self::Latency => "Latency",
            Self::Nodes => "Nodes",
            Self::Incidents => "Incidents",
        }
    }

    /// Returns the page of a fragment; the overview for an unknown one.
    pub fn from_fragment(fragment: &str) -> Self {
        Self::ALL.into_iter().find(|page| page.href() == fragment).unwrap_or_default()
    }
}

/// Returns the page that the address selects, as a signal.
pub fn current_page() -> ReadSignal<Page> {
    let (page, set_page) = signal(read_page());
    let listener = window_event_listener(ev::hashchange, move |_| set_page.set(read_page()));
    on_cleanup(move || listener.remove());
    page
}

fn read_page() -> Page {
    Page::from_fragment(&window().location().hash().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_has_its_own_fragment_and_an_unknown_one_selects_the_overview() {
        for page in Page::ALL {
            assert_eq!(Page::from_fragment(page.href()), page);
        }
        assert_eq!(Page::from_fragment("#rules"), Page::Overview);
        assert_eq!(Page::from_fragment(""), Page::Overview);
    }
}
