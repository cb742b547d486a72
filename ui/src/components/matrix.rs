//! The table of who saw what: a row per voice, a column per fact. Cells that disagree stand out.

use super::{
    address::Address,
    icons::AgreementMark,
    keyed,
    live::{text, when},
};
use crate::{
    session::Session,
    view::{Cell, Row, format_rtt, matrix_rows},
};
use leptos::prelude::*;
use sentinel_model::Agreement;

/// The table of voices.
#[component]
pub fn Matrix(
    session: Session,
    /// Show the owner of each address.
    #[prop(optional)]
    owners: bool,
) -> impl IntoView {
    let rows = session.select(|snapshot| matrix_rows(&snapshot.shown.exits));
    let row = move |row: Memo<Row>| {
        let rtt = move || row.with(|row| row.rtt.map_or("–".to_owned(), format_rtt));
        view! {
            <tr>
                <th scope="row">
                    <span class="voice">{text(move || row.with(|row| row.name.clone()))}</span>
                    <span class="kind">{text(move || row.with(|row| if row.is_own_node() { "" } else { "Public service" }))}</span>
                </th>
                <SeenCell cell=Memo::new(move |_| row.with(|row| row.v4.clone())) owners=owners />
                <SeenCell cell=Memo::new(move |_| row.with(|row| row.v6.clone())) owners=owners />
                <td class="number">{text(rtt)}</td>
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
                <tbody>{keyed(rows, |row| format!("{:?}", row.source), row)}</tbody>
            </table>
        </div>
    }
}

#[component]
fn SeenCell(cell: Memo<Option<Cell>>, owners: bool) -> impl IntoView {
    let class = move || match cell.with(|cell| cell.as_ref().map(|cell| cell.agreement)) {
        Some(Agreement::Disagrees) => "saw disagrees",
        Some(Agreement::Silent) => "saw silent",
        Some(Agreement::Agrees) => "saw",
        None => "saw nothing",
    };
    let mark =
        Memo::new(move |_| cell.with(|cell| cell.as_ref().map_or(Agreement::Silent, |cell| cell.agreement)));
    let agreement = text(move || match cell.with(|cell| cell.as_ref().map(|cell| cell.agreement)) {
        Some(Agreement::Agrees) => "agrees: ",
        Some(Agreement::Disagrees) => "disagrees: ",
        Some(Agreement::Silent) => "silent: ",
        None => "not asked",
    });
    let seen =
        text(move || cell.with(|cell| cell.as_ref().map_or("–".to_owned(), |cell| cell.text.clone())));
    let owner =
        move || cell.with(|cell| cell.as_ref().and_then(|cell| cell.owner.clone()).filter(|_| owners));
    view! {
        <td class=text(class)>
            <span class="cell">
                {when(move || cell.with(Option::is_some), move || view! { <AgreementMark agreement=mark /> })}
                <span class="unseen">{agreement}</span>
                <span>
                    <Address text=seen />
                    <span class="kind">{text(move || owner().unwrap_or_default())}</span>
                </span>
            </span>
        </td>
    }
}
