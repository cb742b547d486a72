//! Charts of round trips over time, small and large.
//!
//! Numbers are SVG attributes only, because the content security policy forbids inline styles.

use super::live::text;
use crate::{
    session::Session,
    view::{Chart, Frame, draw_chart, format_rtt},
};
use leptos::prelude::*;
use sentinel_model::{LatencyPoint, LatencyView, Millis, Timestamp};

/// The time range of a chart, in milliseconds.
const WINDOW: i64 = 120_000;

fn draw(view: &LatencyView, until: Timestamp, beacon: Millis, width: f64, height: f64) -> Chart {
    // A gap is three missed beacons in a row.
    let gap = Millis(beacon.0.max(1_000).saturating_mul(3));
    let from = Timestamp(until.0 - WINDOW);
    draw_chart(&view.points, view.baseline, Frame { from, until, gap, width, height })
}

/// The lines alone, stretched to the size of their container.
#[component]
fn ChartLines(#[prop(into)] chart: Signal<Option<Chart>>, width: f64, height: f64) -> impl IntoView {
    let path = move || chart.with(|chart| chart.as_ref().map(|chart| chart.path.clone()).unwrap_or_default());
    let usual = move || {
        let y = chart.with(|chart| chart.as_ref().and_then(|chart| chart.baseline));
        y.map(|y| format!("M0 {y:.1}H{width}")).unwrap_or_default()
    };
    view! {
        <svg class="line" viewBox=format!("0 0 {width} {height}") preserveAspectRatio="none" aria-hidden="true">
            <path class="usual" d=text(usual) />
            <path class="points" d=text(path) />
        </svg>
    }
}

/// A small chart without axes; the card around it has the numbers.
#[component]
pub fn Sparkline(session: Session, view: Memo<Option<LatencyView>>) -> impl IntoView {
    let at = session.select(|snapshot| (snapshot.at, snapshot.schedule.beacon_every));
    let chart = Memo::new(move |_| {
        let (until, beacon) = at.get();
        view.with(|view| view.as_ref().map(|view| draw(view, until, beacon, 160.0, 32.0)))
    });
    view! {
        <div class="spark">
            <ChartLines chart=chart width=160.0 height=32.0 />
        </div>
    }
}

/// A chart with axes, and with a table of its values.
#[component]
pub fn LatencyChart(session: Session, view: Memo<LatencyView>) -> impl IntoView {
    let at = session.select(|snapshot| (snapshot.at, snapshot.schedule.beacon_every));
    let chart = Memo::new(move |_| {
        let (until, beacon) = at.get();
        view.with(|view| draw(view, until, beacon, 640.0, 128.0))
    });
    let top = move || format!("{:.0} ms", chart.with(|chart| chart.high));
    let bottom = move || format!("{:.0} ms", chart.with(|chart| chart.low));
    let time = move |back: i64| Timestamp(at.get().0.0 - back).time_of_day(session.offset());
    let last =
        move || view.with(|view| view.points.last().map_or("–".to_owned(), |point| format_rtt(point.rtt)));
    let usual = move || {
        let baseline = view.with(|view| view.baseline);
        baseline.map_or("No usual value yet".to_owned(), |usual| format!("Usually {}", format_rtt(usual)))
    };
    view! {
        <article class="card plot">
            <header>
                <h2>{text(move || view.with(|view| format!("{} over {}", view.target.name, view.family)))}</h2>
                <p class="value">{text(last)}</p>
                <p class="since">{text(usual)}</p>
            </header>
            <div class="axes">
                <div class="y" aria-hidden="true"><span>{text(top)}</span><span>{text(bottom)}</span></div>
                <ChartLines chart=Signal::derive(move || Some(chart.get())) width=640.0 height=128.0 />
                <div class="x" aria-hidden="true">
                    <span>{text(move || time(WINDOW))}</span>
                    <span>{text(move || time(WINDOW / 2))}</span>
                    <span>{text(move || time(0))}</span>
                </div>
            </div>
            <details>
                <summary>"Show as a table"</summary>
                <div class="scroll tall" tabindex="0" role="region" aria-label="Round trips">
                    <table>
                        <thead><tr><th scope="col">"Time"</th><th scope="col" class="number">"Round trip"</th></tr></thead>
                        <tbody>
                            {move || view.with(|view| view.points.iter().rev().map(|point| table_row(point, session)).collect_view())}
                        </tbody>
                    </table>
                </div>
            </details>
        </article>
    }
}

fn table_row(point: &LatencyPoint, session: Session) -> impl IntoView + use<> {
    view! {
        <tr>
            <td>{point.at.time_of_day(session.offset())}</td>
            <td class="number">{format_rtt(point.rtt)}</td>
        </tr>
    }
}
