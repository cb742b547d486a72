//! The shapes of the verdicts. Each can be distinguished from the others without colour.

use super::live::text;
use crate::view::VerdictShape;
use leptos::prelude::*;

const CLOSED: &str =
    "M24 3.500 41.500 9.800V23c0 10.800-7 18-17.500 21.500C13.500 41 6.500 33.800 6.500 23V9.800Z";
/// A shield that is broken along a jagged line. `SHARD` is the piece that has come off.
const BROKEN: &str = "M24 3.500 41.500 9.800V17l-7 4 2.500 6.500-7.500 3.500 1.500 6.500-7 7C13.500 41 6.500 33.800 6.500 23V9.800Z";
const SHARD: &str = "M45 20v6c0 10.800-7 18-17.500 21.500l7-7-1.500-6.500 7.500-3.500-2.500-6.500Z";
const EXCLAMATION: &str = "M21.500 13.500v11.500";
const TICK: &str = "m15.800 24.500 5.800 5.800L32.500 18.500";
const QUESTION: &str = "M18.200 19.200a5.900 5.900 0 1 1 8.900 5.100c-2 1.200-3.100 2.400-3.100 4.700";
const HATCH: &str =
    "M-2 22 22-2M-2 30 30-2M-2 38 38-2M-2 46 46-2M2 50 50 2M10 50 50 10M18 50 50 18M26 50 50 26";

/// The shape of a verdict, hidden from screen readers because the word is always beside it.
#[component]
pub fn Shield(
    /// The shape.
    #[prop(into)]
    shape: Signal<VerdictShape>,
) -> impl IntoView {
    view! {
        <svg class=text(move || format!("shield {}", shape.get().class())) viewBox="0 0 48 48" aria-hidden="true">
            {move || draw_shape(shape.get())}
        </svg>
    }
}

fn draw_shape(shape: VerdictShape) -> AnyView {
    match shape {
        VerdictShape::Protected => view! {
            <path class="body" d=CLOSED />
            <path class="sign" d=TICK />
        }
        .into_any(),
        VerdictShape::Exposed => view! {
            <path class="body" d=BROKEN />
            <path class="shard" d=SHARD />
            <path class="sign" d=EXCLAMATION />
            <circle class="dot" cx="21.500" cy="32" r="2.600" />
        }
        .into_any(),
        VerdictShape::Suspect => view! {
            <path class="body" d=CLOSED />
            <path class="sign" d=QUESTION />
            <circle class="dot" cx="24" cy="34.500" r="2.600" />
        }
        .into_any(),
        VerdictShape::Unverified | VerdictShape::Disconnected => view! {
            <path class="hatch" clip-path="url(#shield-outline)" d=HATCH />
            <path class="edge" d=CLOSED />
            <circle class="ground" cx="24" cy="24.500" r="12.500" />
            <path class="mark" d=QUESTION />
            <circle class="point" cx="24" cy="34.500" r="2.600" />
        }
        .into_any(),
        VerdictShape::Off => view! { <path class="edge" d=CLOSED /> }.into_any(),
    }
}

/// The clip path that the shapes refer to; invisible, and present once in the page.
#[component]
pub fn ShapeDefinitions() -> impl IntoView {
    view! {
        <svg class="unseen" width="0" height="0" aria-hidden="true">
            <clipPath id="shield-outline">
                <path d=CLOSED />
            </clipPath>
        </svg>
    }
}
