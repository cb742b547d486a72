//! Which page is shown. The address's fragment says so (`#nodes`): that works without a server's help in the desktop's
//! window too, and the back button does what it should.

use leptos::{ev, prelude::*};

/// A page of the dashboard, in the rail's order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Page {
    /// Am I protected, who says so, since when.
    #[default]
    Overview,
    /// Who saw which exit and which resolver.
    ExitDns,
    /// Round trips over time.
    Latency,
    /// The user's nodes and pairing.
    Nodes,
    /// What is and was wrong.
    Incidents,
}

impl Page {
    /// All pages.
    pub const ALL: [Self; 5] = [Self::Overview, Self::ExitDns, Self::Latency, Self::Nodes, Self::Incidents];

    /// The fragment that leads to it, with its mark.
    pub fn href(self) -> &'static str {
        match self {
            Self::Overview => "#overview",
            Self::ExitDns => "#exit-dns",
            Self::Latency => "#latency",
            Self::Nodes => "#nodes",
            Self::Incidents => "#incidents",
        }
    }

    /// Its name.
    pub fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::ExitDns => "Exit & DNS",
            Self::Latency => "Latency",
            Self::Nodes => "Nodes",
            Self::Incidents => "Incidents",
        }
    }

    /// The page a fragment leads to; anything unknown leads to the overview.
    pub fn of(fragment: &str) -> Self {
        Self::ALL.into_iter().find(|page| page.href() == fragment).unwrap_or_default()
    }
}

/// The page the address names, now and whenever that changes.
pub fn current() -> ReadSignal<Page> {
    let (page, set_page) = signal(read());
    let listener = window_event_listener(ev::hashchange, move |_| set_page.set(read()));
    on_cleanup(move || listener.remove());
    page
}

fn read() -> Page {
    Page::of(&window().location().hash().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_reached_by_its_own_fragment_and_a_wrong_one_leads_home() {
        for page in Page::ALL {
            assert_eq!(Page::of(page.href()), page);
        }
        assert_eq!(Page::of("#rules"), Page::Overview);
        assert_eq!(Page::of(""), Page::Overview);
    }
}
