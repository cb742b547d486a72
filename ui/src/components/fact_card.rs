//! A card with one fact: value, owner, since when, and who verified it.

use super::{
    address::Address,
    icons::{AgreementMark, Icon},
    live::text,
};
use crate::view::{Badge, Fact, Tone};
use leptos::prelude::*;
use sentinel_model::Agreement;

/// The longest value shown at full size, in characters.
const MAX_FULL_SIZE: usize = 15;

/// A card with one fact. A child, such as a small chart, takes the place of the badges.
#[component]
pub fn FactCard(
    /// What the fact is about.
    label: &'static str,
    /// The icon beside the label.
    icon: Icon,
    /// The fact.
    #[prop(into)]
    fact: Signal<Fact>,
    /// Shown in place of the badges.
    #[prop(optional)]
    children: Option<ChildrenFn>,
) -> impl IntoView {
    let tone = move || match fact.with(|fact| fact.tone) {
        Tone::Plain => "card fact",
        Tone::Danger => "card fact danger",
        Tone::Unknown => "card fact unknown",
    };
    // A full IPv6 address is shown smaller, so that the cards keep their height.
    let long = move || fact.with(|fact| fact.value.len() > MAX_FULL_SIZE);
    let value = Signal::derive(move || fact.with(|fact| fact.value.clone()));
    view! {
        <article class=text(tone)>
            <h2>{icon} <span>{label}</span></h2>
            <p class="value" class:long=long>
                <Address text=value />
            </p>
            <p class="owner">{text(move || fact.with(|fact| fact.owner.clone()))}</p>
            <p class="since">{text(move || fact.with(|fact| fact.since.clone()))}</p>
            {match children {
                Some(children) => children().into_any(),
                None => view! { <VoiceBadges fact=fact /> }.into_any(),
            }}
        </article>
    }
}

#[component]
fn VoiceBadges(fact: Signal<Fact>) -> impl IntoView {
    let badge = |badge: Badge| {
        let agreement = match badge.agreement {
            Agreement::Agrees => "agrees",
            Agreement::Disagrees => "disagrees",
            Agreement::Silent => "is silent",
        };
        let description = format!("{} {agreement}", badge.name);
        let hidden = description.clone();
        view! {
            <li title=description>
                <AgreementMark agreement=Signal::stored(badge.agreement) />
                <span class="unseen">{hidden}</span>
            </li>
        }
    };
    view! {
        <div class="voices">
            <ul>{move || fact.with(|fact| fact.badges.iter().cloned().map(badge).collect_view())}</ul>
            <span>{text(move || fact.with(|fact| fact.tally.clone()))}</span>
        </div>
    }
}
