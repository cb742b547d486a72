//! One fact: value, owner, since when, and who says so.

use super::{
    command_line::Address,
    icons::{Icon, Mark},
    live::text,
};
use crate::view::{Badge, Fact, Tone};
use leptos::prelude::*;
use sentinel_model::Agreement;

/// The longest value shown at full size, in characters.
const LONG: usize = 15;

/// A card with one fact; what belongs beneath it (a small chart) goes in as its child.
#[component]
pub fn FactCard(
    /// What the fact is about.
    label: &'static str,
    /// Its picture.
    icon: Icon,
    /// The fact.
    #[prop(into)]
    fact: Signal<Fact>,
    /// What stands at its foot in place of the badges.
    #[prop(optional)]
    children: Option<ChildrenFn>,
) -> impl IntoView {
    let tone = move || match fact.with(|fact| fact.tone) {
        Tone::Plain => "card fact",
        Tone::Danger => "card fact danger",
        Tone::Unknown => "card fact unknown",
    };
    // An IPv6 address in full is shown smaller, so that the cards keep their height.
    let long = move || fact.with(|fact| fact.value.len() > LONG);
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
                None => view! { <Voices fact=fact /> }.into_any(),
            }}
        </article>
    }
}

#[component]
fn Voices(fact: Signal<Fact>) -> impl IntoView {
    let badge = |badge: Badge| {
        let says = match badge.agreement {
            Agreement::Agrees => "agrees",
            Agreement::Disagrees => "disagrees",
            Agreement::Silent => "is silent",
        };
        let words = format!("{} {says}", badge.name);
        let spoken = words.clone();
        view! {
            <li title=words>
                <Mark agreement=Signal::stored(badge.agreement) />
                <span class="unseen">{spoken}</span>
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
