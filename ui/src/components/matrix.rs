//! Who saw what: voices down, facts across. The one that disagrees stands out.

use super::{command_line::Address, icons::Mark, keyed};
use crate::{
    session::Session,
    view::{Cell, Row, milliseconds, rows},
};
use leptos::prelude::*;
use sentinel_model::Agreement;

/// The table of voices.
#[component]
pub fn Matrix(
    session: Session,
    /// Whether each address says whose it is.
    #[prop(optional)]
    owners: bool,
) -> impl IntoView {
    let rows = session.pick(|snapshot| rows(&snapshot.exits));
    let row = move |row: Memo<Row>| {
        let rtt = move || row.with(|row| row.rtt.map_or("–".into(), milliseconds));
        view! {
            <tr>
                <th scope="row">
                    <span class="voice">{move || row.with(|row| row.name.clone())}</span>
                    <span class="kind">{move || row.with(|row| if row.own() { "Your node" } else { "Public service" })}</span>
                </th>
                <Saw cell=Memo::new(move |_| row.with(|row| row.v4.clone())) owners=owners />
                <Saw cell=Memo::new(move |_| row.with(|row| row.v6.clone())) owners=owners />
                <td class="number">{rtt}</td>
            </tr>
        }
    };
    view! {
        <div class="scroll" tabindex="0" role="region" aria-label="Who saw what">
            <table class="matrix">
                <thead>
                    <tr>
                        <th scope="col">"Seen by"</th>
                        <th scope="col">"Exit IPv4"</th>
                        <th scope="col">"Exit IPv6"</th>
                        <th scope="col" class="number">"Round trip"</th>
                    </tr>
                </thead>
                <tbody>{keyed(rows, |row| row.source.clone(), row)}</tbody>
            </table>
        </div>
    }
}

#[component]
fn Saw(cell: Memo<Option<Cell>>, owners: bool) -> impl IntoView {
    let class = move || match cell.with(|cell| cell.as_ref().map(|cell| cell.agreement)) {
        Some(Agreement::Disagrees) => "saw disagrees",
        Some(Agreement::Silent) => "saw silent",
        Some(Agreement::Agrees) => "saw",
        None => "saw nothing",
    };
    let inside = move || {
        cell.get().map(|cell| {
            let said = match cell.agreement {
                Agreement::Agrees => "agrees: ",
                Agreement::Disagrees => "disagrees: ",
                Agreement::Silent => "silent: ",
            };
            view! {
                <span class="cell">
                    <Mark agreement=Signal::stored(cell.agreement) />
                    <span class="unseen">{said}</span>
                    <span>
                        <Address text=Signal::stored(cell.text) />
                        {cell.owner.filter(|_| owners).map(|owner| view! { <span class="kind">{owner}</span> })}
                    </span>
                </span>
            }
        })
    };
    view! {
        <td class=class>
            {inside}
            <Show when=move || cell.with(Option::is_none)>
                <span aria-label="not asked">"–"</span>
            </Show>
        </td>
    }
}
