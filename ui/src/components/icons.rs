//! Line icons on a grid of 24 units, and the marks for the agreement of voices.

use super::live::text;
use crate::route::Page;
use leptos::prelude::*;
use sentinel_model::{Agreement, Family};

/// What an icon stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icon {
    /// A page.
    Page(Page),
    /// An exit.
    Exit(Family),
    /// A resolver.
    Resolver,
    /// Round trips.
    RoundTrip,
    /// A menu that opens below.
    More,
}

impl Icon {
    fn path(self) -> &'static str {
        match self {
            Self::Page(Page::Overview) => {
                "M12 3 19.500 5.700V11c0 5-3.100 8.200-7.500 10-4.400-1.800-7.500-5-7.500-10V5.700Z"
            }
            Self::Page(Page::ExitDns) | Self::Exit(_) => {
                "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18ZM3.500 12h17M12 3c2.500 2.600 3.600 5.600 3.600 9s-1.100 6.400-3.600 9c-2.500-2.600-3.600-5.600-3.600-9s1.100-6.400 3.600-9Z"
            }
            Self::Page(Page::Latency) | Self::RoundTrip => "M3 12h4l3-7 4.500 14 2.500-7h4",
            Self::Page(Page::Nodes) => {
                "M12 8.200a2.600 2.600 0 1 0 0-5.200 2.600 2.600 0 0 0 0 5.200ZM5.600 21a2.600 2.600 0 1 0 0-5.200 2.600 2.600 0 0 0 0 5.200ZM18.400 21a2.600 2.600 0 1 0 0-5.200 2.600 2.600 0 0 0 0 5.200ZM10.700 8l-3.800 7.900M13.300 8l3.800 7.900M8.200 18.400h7.600"
            }
            Self::Page(Page::Incidents) => {
                "M6 16.500V11a6 6 0 1 1 12 0v5.500l1.500 1.500h-15ZM10 20.500c.5.500 1.200.8 2 .8s1.500-.3 2-.8"
            }
            Self::Resolver => "M4 5h16v5H4ZM4 14h16v5H4ZM7.500 7.500h.01M7.500 16.500h.01",
            Self::More => "m7 10 5 5 5-5",
        }
    }
}

impl IntoRender for Icon {
    type Output = AnyView;

    fn into_render(self) -> AnyView {
        view! {
            <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
                <path d=self.path() />
            </svg>
        }
        .into_any()
    }
}

/// The mark for whether a voice agrees with the others: full, hollow or crossed.
#[component]
pub fn AgreementMark(
    /// The agreement.
    #[prop(into)]
    agreement: Signal<Agreement>,
) -> impl IntoView {
    let path = move || match agreement.get() {
        Agreement::Agrees => "M8 3a5 5 0 1 0 0 10A5 5 0 0 0 8 3Z",
        Agreement::Silent => "M8 3.500a4.500 4.500 0 1 0 0 9 4.500 4.500 0 0 0 0-9Z",
        Agreement::Disagrees => {
            "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2ZM5.900 5.900l4.200 4.200M10.100 5.900l-4.200 4.200"
        }
    };
    view! {
        <svg class=text(move || format!("mark {}", class(agreement.get()))) viewBox="0 0 16 16" aria-hidden="true">
            <path d=text(path) />
        </svg>
    }
}

/// Returns the name of the mark in the style sheet.
fn class(agreement: Agreement) -> &'static str {
    match agreement {
        Agreement::Agrees => "agrees",
        Agreement::Silent => "silent",
        Agreement::Disagrees => "disagrees",
    }
}
